// What must be true, whatever happens. The oracle sees what customers sent and received, what engines
// produced and what the journal took, and keeps its own books from that alone: plain sums, no code of
// the ledger. A contradiction is told once, by `violated`.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/ledger/ledger.h"
#include "gateway/metering/metering.h"
#include "gateway/money/money.h"
#include "gateway/tenancy/tenancy.h"
#include "tests/sim/timeline.h"

namespace trib::sim {

// A request as its customer means it. Its mark stands in the prompt and in every token of its answer.
struct Asked {
  std::string mark;  // "c17r3"
  std::string tenant;
  std::uint64_t tokens = 0;  // that a whole answer has
  bool stream = false, include_usage = false, length_limited = false;
  std::string expected;      // the whole answer's text
  std::string idempotency;   // the ledger's form of the key; empty: none
  std::uint64_t charged_finals = 0;
};

// One run of it at a site's engine.
struct Run {
  std::string mark, site;
  std::uint64_t tokens = 0;  // that the engine has put on the wire, at most; the answer's, from its beginning
  std::uint64_t first = 0;   // it went on from here
  bool finished = false;     // with its finish and all tokens
  bool lies = false;         // about usage, or says none
  metering::TokenCounts claims;
};

// One answer as a customer received it.
struct Answer {
  std::string id;      // x-request-id
  int status = 0;      // 0: no head came
  std::string code;    // of an error body or error event
  std::uint64_t tokens = 0;
  std::uint64_t usage_output = 0, usage_input = 0;
  bool usage = false, finish = false, done = false, error = false;
  bool whole = false;     // ended as its framing says
  bool replayed = false;
  bool excused = false;   // the customer left or stalled, or the network or a death cut it
};

struct OracleFigures {
  std::uint64_t requests = 0, completed = 0, cancelled = 0, partial = 0, failed = 0, refused = 0, recovered = 0;
  std::uint64_t attempts = 0, retried = 0, went_on = 0, turned_away = 0, replays = 0, records = 0, records_lost = 0, cuts = 0, lies = 0;
};

class Oracle {
 public:
  using Violated = std::function<void(const std::string& rule, const std::string& what)>;
  Oracle(const config::ConfigSnapshot& config, const Timeline& timeline, Violated violated);

  void violated(const std::string& rule, const std::string& what) { violated_(rule, what); }

  // ---- customers and engines -----------------------------------------------------------------
  void asked(const std::string& body, std::shared_ptr<Asked> request);
  std::shared_ptr<Run> run(const std::string& site, const std::string& mark, const std::string& body);
  void head_came(const Asked& asked, const Answer& answer);  // the first bytes of an answer
  void answered(const Asked& asked, const Answer& answer);   // all there will be of it

  // ---- the journal ---------------------------------------------------------------------------
  void appended(metering::Lsn lsn, const metering::Record& record);
  void released(metering::Lsn upto);
  // The journal was opened again, nothing appended yet. Records up to `must_have` may not be missing.
  // False: the disk failed, and nothing is known.
  bool reopened(metering::Journal& journal, metering::Lsn must_have);
  // Until it is opened again. What was not released by then may be found on the disk or not.
  void journal_failed();
  // The running gateway counts a top-up as the customer's.
  void credited(const std::string& tenant, money::Amount amount) { credits_[tenant] += amount.pico(); }
  void balance_at_start(const std::string& tenant, money::Amount balance) { credits_[tenant] = balance.pico(); }

  // ---- looks ---------------------------------------------------------------------------------
  // Holds, requests in flight and balances of the running gateway, against what its journal was given.
  void look(const tenancy::TenantBook& tenants);
  // After a clean end, or when all is quiet: nothing is open.
  void nothing_open(const char* when);
  // The ledger's rows, balances and parts against our own books.
  void audit(ledger::Ledger& ledger, const std::string& path, const std::string& vfs, metering::Journal& journal);
  const OracleFigures& figures() const { return figures_; }

 private:
  struct Request {  // as the journal tells it, up to what is released
    metering::Admit admit;
    std::vector<metering::Attempt> attempts;
    std::map<int, metering::Progress> marks;
    std::optional<metering::Final> final;
    money::int128 charge = 0;
  };
  struct Price {
    std::int64_t from_ms, input, cached, cache_write, output, reasoning;
  };

  void tell(metering::Lsn lsn, const metering::Record& record);
  void learn_price(const metering::Command& command);
  void see(const metering::Record& record);
  void forget(const metering::Record& record);
  void see_again();
  void see_admit(const metering::Admit& admit);
  void see_attempt(const metering::Attempt& attempt);
  void see_progress(const metering::Progress& progress);
  void see_final(const metering::Final& final);
  void check_counts(const Request& request, const metering::Final& final, const Asked& asked);
  money::int128 charge_of(const metering::Final& final) const;
  money::int128 charge_of(const metering::Final& final, std::uint16_t attempt) const;
  const Run* run_of(const std::string& mark, const std::string& site) const;
  void check_row(const ledger::RequestRow& row);
  void bad(const std::string& rule, const std::string& what) { violated_(rule, what); }

  const Timeline& timeline_;
  Violated violated_;
  std::map<std::string, std::vector<Price>> prices_;  // by model; [i] is version i + 1, as the journal publishes them
  std::set<std::string> published_;
  std::map<std::string, config::SiteConfig> sites_;
  std::map<std::string, config::Shares> shares_;    // by contract
  std::map<std::string, config::Privacy> privacy_;  // by tenant

  std::unordered_map<std::string, std::shared_ptr<Asked>> by_body_;          // SHA-256 of a body
  std::unordered_map<std::string, std::vector<std::shared_ptr<Run>>> runs_;  // by mark

  // Of the whole world's life, from what was released.
  std::unordered_map<RequestId, Request> requests_;
  std::set<RequestId> open_;
  std::map<std::string, money::int128> charges_, topups_;  // by tenant
  std::set<std::string> commands_;
  std::set<RequestId> lost_, uncertain_;
  std::vector<metering::Record> log_;  // [i] has LSN i + 1; beyond seen_: appended, not yet released
  metering::Lsn seen_ = 0;

  // Of the running gateway, from what was appended.
  struct Live {
    money::int128 hold = 0;
    std::uint32_t in_flight = 0;
    money::int128 charged = 0;
  };
  std::map<std::string, Live> live_;
  std::map<std::string, money::int128> credits_;  // balance at its start, and top-ups since
  std::set<RequestId> admitted_here_;
  bool journal_failed_ = false;
  OracleFigures figures_;
};

}  // namespace trib::sim
