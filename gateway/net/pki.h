// Keys and certificates: what the gateway's own CA, its sites door and the agents need. ECDSA P-256
// for certificates, Ed25519 for tokens; everything in PEM. Called at start-up and on enrolment,
// never per request. Thread-safe. What comes from outside is read strictly; failures return nothing
// and `why` in words.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/base.h"

namespace trib::net {

std::string make_key_pem();          // a new ECDSA P-256 private key (PKCS#8)
std::string make_signing_key_pem();  // a new Ed25519 private key
std::optional<std::string> sign(const std::string& signing_key_pem,
                                std::string_view message);  // 64 bytes
bool signature_fits(const std::string& signing_key_pem, std::string_view message,
                    std::string_view signature);

// A certificate request for the key, signed by it. The name is for people only.
std::optional<std::string> make_request_pem(const std::string& key_pem, std::string_view name);

struct ReadRequest {
  std::string public_key_der;  // SubjectPublicKeyInfo
  Sha256 key{};                // its SHA-256
};
// Reads a request and checks its own signature; only P-256 keys are taken. Whatever names or
// extensions it asks for are ignored.
std::optional<ReadRequest> read_request(const std::string& request_pem, std::string& why);

// A self-signed CA that may sign end certificates only.
std::optional<std::string> make_authority_pem(const std::string& key_pem, std::string_view name,
                                              std::int64_t from_ms, std::int64_t until_ms);

struct CertificateTerms {
  std::string public_key_der;
  std::string name;                // common name, for people
  std::vector<std::string> uris;   // alternative names
  std::vector<std::string> hosts;  // names or addresses
  bool for_server = false;         // else for a client
  std::int64_t from_ms = 0;        // Unix, UTC; cut to seconds
  std::int64_t until_ms = 0;
};
struct Issued {
  std::string certificate_pem;
  std::string serial;  // lower-case hex; 126 random bits
};
std::optional<Issued> issue(const std::string& ca_certificate_pem, const std::string& ca_key_pem,
                            const CertificateTerms& terms);

std::optional<std::string> public_key_der(const std::string& key_pem);  // of a private key
// SHA-256 of the public key of the first certificate; what pins are made of.
std::optional<Sha256> certificate_key(const std::string& certificate_pem);
std::optional<std::int64_t> certificate_until_ms(const std::string& certificate_pem);

}  // namespace trib::net
