// Takes the sites' signed roots of receipts: each must be of the site that dialled in, signed by the key that was
// pinned with its first, and chained to the one before. What passes becomes a COMMAND "receipts", one a root, whose
// body is the root's JSON; it moves no money and is kept, sealed and verified like every other. Contradictions are
// refused, counted and told; what is not said twice is left to reconciliation (receipt_check.h).
// Any thread; one lock. Verifying a signature takes some 120 microseconds.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "gateway/ledger/receipt.h"
#include "gateway/ledger/store.h"

namespace trib::ledger {

class ReceiptIntake {
 public:
  // Receipts of one site: so many at once, and so many a second in the long run. What is above waits at the site.
  static constexpr std::int64_t burst = 2'000'000, per_second = 2'000;

  // When the ledger has posted what its journal holds. Null with the reason when the store cannot be read.
  static std::unique_ptr<ReceiptIntake> open(Ledger& ledger, metering::Journal& journal, Clock& clock, std::string& why);

  enum class Result : std::uint8_t {
    taken,     // in the journal; held() says when it is on the disk
    repeated,  // was there already
    later,     // not now: above the site's bound, or the journal takes nothing
    refused,   // contradicts what is held; see why
  };
  struct Taken {
    Result result{};
    std::string why;
  };
  Taken take(const std::string& site, std::string_view root);

  struct Held {
    std::uint64_t upto = 0;  // newest root on the disk
    bool settled = true;     // nothing taken is still on its way there
  };
  Held held(const std::string& site);

  // Another key from now on, beginning with its root 1: the site has lost its state. Blocks until posted.
  Posting pin(const std::string& site, const std::string& key, const std::string& reason, std::int64_t wall_ms);

  struct SiteHead {
    std::string site, key;  // key: 32 bytes
    std::uint64_t number = 0;
  };
  std::vector<SiteHead> sites();  // that have sent receipts, by name
  std::uint64_t taken() const { return taken_.load(); }
  std::uint64_t refused() const { return refused_.load(); }

 private:
  struct Head {
    std::string key;  // empty: none pinned
    std::uint64_t number = 0, durable = 0;
    Sha256 digest{};
    std::deque<std::pair<std::uint64_t, metering::Lsn>> on_the_way;
    std::int64_t allowed = burst, since_ns = 0;
  };
  ReceiptIntake(Ledger& ledger, metering::Journal& journal, Clock& clock) : ledger_(ledger), journal_(journal), clock_(clock) {}
  bool load(std::string& why);
  std::string contradiction(const Head& head, const ReceiptRoot& root) const;
  Result repeated(const ReceiptRoot& root, std::string_view text, std::string& why);
  bool afford(Head& head, std::int64_t receipts);

  Ledger& ledger_;
  metering::Journal& journal_;
  Clock& clock_;
  std::unique_ptr<Reader> reader_;  // with the lock held
  std::mutex mutex_;
  std::map<std::string, Head> heads_;
  std::atomic<std::uint64_t> taken_{0}, refused_{0};
};

// The id of a root's command: "receipts:SITE:KEY:NUMBER", the first 16 digits of the key, 20 digits.
std::string receipts_command_id(const ReceiptRoot& root);
inline constexpr std::string_view receipts_kind = "receipts";
inline constexpr std::string_view receipts_key_kind = "receipts_key";

}  // namespace trib::ledger
