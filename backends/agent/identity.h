// Who this agent is: the key pair, the certificate and the gateway's CA, as files of mode 0600 in
// the state folder. The private key never leaves it. Room-private.
#pragma once
#include <optional>
#include <string>

#include "gateway/base/base.h"

namespace trib::agent {

struct Identity {
  std::string site, instance_id;
  std::string key_pem, certificate_pem, ca_pem;
};

std::optional<Identity> load_identity(Disk& disk, const std::string& dir, std::string& why);
// The certificate last: until it is there the agent counts as not enrolled.
std::string save_identity(Disk& disk, const std::string& dir,
                          const Identity& identity);  // empty: done

std::string random_id();  // 32 hex digits

// The answer 201 of POST /enrol/v1/requests.
struct Enrolled {
  std::string site, certificate_pem, ca_pem, check_words, state;
};
std::string enrol_body(const std::string& token, const std::string& request_pem,
                       const std::string& instance_id);
bool read_enrolled(std::string_view body, Enrolled& out);
std::string read_refusal(std::string_view body);  // its message, or empty

}  // namespace trib::agent
