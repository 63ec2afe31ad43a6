// The durable record of sites that enrol: their states, open invites and current certificates. One
// JSON file, replaced whole; every change is on disk before the call returns, and undone if it could
// not be written. Thread-safe (one lock; nothing on the request path comes here).
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/fleet/fleet.h"

namespace trib::fleet {

struct SiteRecord {
  SiteState state = SiteState::invited;
  std::string instance_id;       // empty until enrolled
  std::string key_sha256;        // hex, of the agent's public key
  std::string serial;            // of its certificate, hex
  std::int64_t until_ms = 0;     // the certificate's end
  std::string check_words;
  std::string agent_version;
  std::int64_t approved_ms = 0;  // 0: not yet
  std::string reason;            // of a suspension or revocation
};

struct OpenInvite {
  std::string site, jti_sha256;  // only the hash of the token's number is kept
  std::int64_t expires_ms = 0;
};

// Why an agent's connection is not let in; `admitted` when it is.
enum class Admission : std::uint8_t { admitted, unknown_site, not_enrolled, revoked, superseded };
std::string_view name(Admission admission);

class SiteRegistry {
 public:
  SiteRegistry(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}
  // Reads the file; none yet is an empty registry. False: it is there and unusable; `why` says it.
  bool open(std::string& why);

  std::map<std::string, SiteState> states() const;  // what Fleet::configure wants
  std::map<std::string, SiteRecord> all() const;
  std::optional<SiteRecord> find(const std::string& site) const;

  // Each returns an empty text, or why nothing changed.
  std::string add_invite(OpenInvite invite, std::int64_t now_ms);
  // Burns the invite and records the new key in one write.
  std::string enrol(const std::string& jti_sha256, const std::string& site, SiteRecord fresh, std::int64_t now_ms);
  std::string approve(const std::string& site, std::int64_t now_ms);
  std::string suspend(const std::string& site, std::string reason);
  std::string revoke(const std::string& site, std::string reason);

  bool invite_open(const std::string& jti_sha256, const std::string& site, std::int64_t now_ms) const;
  // Asked at each handshake, and of open tunnels after a revocation.
  Admission admit(const std::string& site, const std::string& serial) const;

 private:
  struct Content {
    std::map<std::string, SiteRecord> sites;
    std::vector<OpenInvite> invites;
  };
  static std::string write(const Content& content);
  static bool read(std::string_view text, Content& out, std::string& why);
  std::string change(Content next);  // with the lock held

  static constexpr std::size_t invites_max = 4096;
  Disk& disk_;
  const std::string path_;
  mutable std::mutex mutex_;
  Content content_;
};

}  // namespace trib::fleet
