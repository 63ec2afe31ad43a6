// The site's own journal of what its engines served, and the signatures over it: files in the state folder.
//   receipts.key                       the agent's Ed25519 key, made once, readable by its owner alone
//   receipts-0000000000000001.log      segments; the number is that of the first root in them
// A segment is frames without gaps: u32 length of the text, u32 CRC32C of kind and text, one byte kind, the
// text (integers little-endian). Kinds: H the chain before the segment {"number","digest"}; R one receipt; S a signed
// root, which covers the R frames since the S before it. A torn tail is cut at the first bad frame of the last segment;
// damage before it is said, and no receipts are written until the files are moved away.
// A receipt is handed to the kernel when its attempt ends (kill -9 loses nothing), a root is on the disk before it
// leaves. What the gateway has acknowledged goes, a segment at a time. Blocks on the disk, about once a second.
// One thread. Room-private.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/ledger/ledger.h"

namespace trib::agent {

struct ReceiptBounds {
  std::uint64_t segment_bytes = 4u << 20;
  std::uint64_t kept_bytes = 256u << 20;  // a million receipts; above it what is served is no longer written down
};

class ReceiptBook {
 public:
  // Cannot be opened: why() says why, and the site serves on without receipts.
  ReceiptBook(Disk& disk, std::string dir, std::string site, ReceiptBounds bounds = {});

  const std::string& why() const { return why_; }  // empty: it works
  bool full() const { return bytes_ >= bounds_.kept_bytes; }
  // Why the last call failed, where it did.
  const std::string& error() const { return why_.empty() ? error_ : why_; }
  // False: full, broken, or the disk failed.
  bool add(const ledger::Receipt& receipt);
  std::size_t waiting() const { return waiting_.size(); }  // receipts that no root covers yet
  // Roots over all that wait. False: nothing of it leaves; a later call tries again.
  bool sign(std::int64_t wall_ms);

  std::uint64_t newest() const { return number_; }  // root; 0: none yet
  std::uint64_t oldest() const { return number_ + 1 - places_.size(); }  // root that is kept
  std::string root(std::uint64_t number);  // its JSON; empty: not kept, or not readable
  void acknowledged(std::uint64_t upto);

 private:
  struct Segment {
    std::string name;
    std::uint64_t bytes = 0, last = 0;  // last: newest root in it; 0: none yet
  };
  struct Place {  // of a root's text
    std::size_t segment = 0;  // counted from the first one ever opened
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
  };
  std::string open();
  std::string read(const std::string& name, std::string_view text, bool last);
  std::string take(char kind, std::string_view text, std::uint64_t offset, bool first);
  bool begin_segment();
  void forget_older();
  bool write(char kind, std::string_view text);
  bool failed(const std::string& what, const std::error_code& ec);
  std::string path(const std::string& name) const { return dir_ + "/" + name; }

  Disk& disk_;
  const std::string dir_, site_;
  const ReceiptBounds bounds_;
  std::optional<SigningKey> key_;
  std::string why_, error_;
  std::deque<Segment> segments_;
  std::size_t first_segment_ = 0;  // the number of segments_.front()
  std::deque<Place> places_;       // of the roots kept, by number, without gaps
  std::unique_ptr<File> file_;     // of the last segment
  std::uint64_t bytes_ = 0;        // of all segments
  std::uint64_t number_ = 0;       // of the newest root
  Sha256 digest_{};                // of it
  std::vector<ledger::Receipt> waiting_;
};

}  // namespace trib::agent
