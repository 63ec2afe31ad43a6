// The site's own copy of the ledger's checkpoints, in its state folder: what the gateway has signed cannot
// be rewritten unnoticed. Refuses and reports what contradicts a checkpoint that it holds. Files:
//   checkpoint.pub        the gateway's public key, pinned at first sight (64 hex digits)
//   checkpoints.jsonl     the newest checkpoints, at most kept_max, a line each
//   contradictions.jsonl  what was refused, signed by the gateway itself: evidence; at most 1000 lines
// Blocks on the disk, a few times an hour. One thread. Room-private.
#pragma once
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/ledger/ledger.h"
#include "gateway/tunnel/tunnel.h"

namespace trib::agent {

class Witness {
 public:
  static constexpr std::size_t kept_max = 9000;  // a year of hours, some 6 MB

  // What cannot be read is moved aside and reported: the site serves on, and begins anew under the pinned key.
  Witness(Disk& disk, std::string dir, std::size_t kept = kept_max);

  std::uint64_t held() const { return all_.empty() ? 0 : all_.back().number; }
  tunnel::AgentHandler::Taken take(const tunnel::CheckpointPage& page);
  const std::string& why() const { return why_; }  // of the last take() that was not kept

 private:
  using Taken = tunnel::AgentHandler::Taken;
  void open();
  std::string judge(const ledger::Checkpoint& next) const;  // empty: it may be kept, or is held already
  Taken contradicted(const std::string& evidence);
  std::error_code pin(const std::string& key);
  std::error_code append(const std::vector<ledger::Checkpoint>& fresh);
  std::string path(const char* name) const { return dir_ + "/" + name; }

  Disk& disk_;
  const std::string dir_;
  const std::size_t kept_;
  std::string pinned_;  // 32 bytes; empty: none yet
  std::vector<ledger::Checkpoint> all_;  // by number, without gaps
  std::uint64_t bytes_ = 0;              // of checkpoints.jsonl
  std::string why_;
};

}  // namespace trib::agent
