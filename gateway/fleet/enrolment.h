// How a partner's site comes in: the gateway's own CA, single-use invites and what enrolling answers.
// Keys are made at the first start in DATA/ca (files of mode 0600) and never leave it. Thread-safe.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/fleet/site_registry.h"

namespace trib::fleet {

struct Invite {
  std::string token;  // shown once; only the hash of its number is kept
  std::int64_t expires_ms = 0;
};

struct InviteTerms {
  std::string site, kind, partner, region;
  std::vector<std::string> hosts;  // host:port where agents reach the gateway, 1 to 4
  std::uint32_t seats_max = 200;
  std::int64_t life_ms = 24 * 3'600'000;  // at most 72 h
};

struct EnrolReply {
  int status = 0;
  std::string json;
  std::string site;         // when 201: state and words changed, tell the Fleet
  std::string check_words;
};

struct DoorCertificate {  // for the TLS server that agents dial
  std::string certificate_pem;  // the leaf, then the CA
  std::string key_pem;
};

// What a token says; its signature is the gateway's to check.
struct TokenContent {
  std::string jti;  // base64url
  std::vector<std::string> hosts;
  Sha256 ca_pin{};
  std::string site, kind;
  std::int64_t issued_s = 0, expires_s = 0;
};
// Reads a token's shape without trusting it: what an agent does before it dials. Null: `why` says it.
std::optional<TokenContent> read_token(std::string_view token, std::string& why);

std::string check_words(const Sha256& key);  // 4 words, to be read aloud

class Enrolment {
 public:
  // Null: the CA's files are there and unusable, or could not be made.
  static std::unique_ptr<Enrolment> open(Disk& disk, const std::string& data_dir, SiteRegistry& registry,
                                         const Clock& clock, std::string& why);

  const std::string& ca_pem() const { return ca_pem_; }
  const Sha256& ca_pin() const { return ca_pin_; }
  // A fresh server certificate with these names and addresses, valid for 397 days.
  std::optional<DoorCertificate> door(const std::vector<std::string>& hosts) const;

  // Empty token: `why` says it.
  Invite invite(const InviteTerms& terms, std::string& why);
  // The body of POST /enrol/v1/requests (at most 1 MiB, the caller's to enforce) from an address
  // without its port. At most 5 tries per address and minute.
  EnrolReply enrol(std::string_view body, const std::string& address);

 private:
  Enrolment(SiteRegistry& registry, const Clock& clock) : registry_(registry), clock_(clock) {}
  bool try_allowed(const std::string& address);
  bool token_fits(std::string_view token) const;

  SiteRegistry& registry_;
  const Clock& clock_;
  std::string ca_key_, ca_pem_, token_key_;
  Sha256 ca_pin_{};
  struct Tries {
    std::int64_t since_ms = 0;
    int count = 0;
  };
  std::mutex tries_mutex_;
  std::map<std::string, Tries> tries_;
};

}  // namespace trib::fleet
