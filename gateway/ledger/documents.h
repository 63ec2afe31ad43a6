// A document moves money other than a request's: a refund, a penalty, a statement's lock, a payout. It
// says every leg itself, so that a replay needs no rule; the rules that made it stand in settlement.
// The ledger checks that it balances, that its accounts exist, that its periods are open and that what
// it was reckoned from has not moved meanwhile. Pure.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/period.h"
#include "gateway/ledger/quantities.h"
#include "gateway/ledger/rows.h"

namespace trib::ledger {

inline constexpr std::size_t document_transfers_max = 10'000;
inline constexpr std::size_t document_legs_max = 10'000;  // of one transfer
inline constexpr std::size_t document_quantities_max = 10'000;

struct DocumentTransfer {
  Code code{};
  Period period = 0;
  std::int64_t effective_at = 0;          // Unix ms, of the fact
  std::string doc;                        // what it is about (a request, a statement); empty: the document
  std::optional<std::uint64_t> reverses;  // a transfer, whose legs it negates; only once
  std::vector<Leg> legs;                  // debit positive, credit negative; they sum to zero
};

// credit - debit of an account, in one period or, with 0, over all; before the document is posted.
struct Stands {
  std::string account;
  Period period = 0;
  money::Amount amount;
};

struct Document {
  std::string kind;      // "penalty", "payout", "statement" ...
  std::string evidence;  // a document's hash or number; a manual entry (code 70) must have one
  std::vector<DocumentTransfer> transfers;
  std::vector<QuantityMove> quantities;  // in Q900; a reversal negates its request's
  std::vector<Stands> expect;  // refused when one stands otherwise
  std::vector<Stands> floors;  // refused when it would leave less; period unused
  std::string attach;          // text that is kept with it, such as a statement's figures as JSON
};

std::string document_terms(const Document& document);  // canonical JSON
std::optional<Document> read_document(const std::string& terms);

// What is wrong with it by itself: legs that do not sum, an unknown account or code, nothing in it. Empty: fine.
std::string refuse(const Document& document);

// Steps of a period, in this order; each by a command of its own.
enum class PeriodState : std::uint8_t { open, grace, reconciled, closed, stated, paid };
std::string_view name(PeriodState state);
std::optional<PeriodState> parse_period_state(std::string_view text);

struct PeriodStep {
  Period period = 0;
  PeriodState to{};
  std::string seal;       // hex, with `closed`: seal_period of what the period holds; else empty
  std::string signature;  // hex, over the seal; kept
};
std::string period_terms(const PeriodStep& step);
std::optional<PeriodStep> read_period_step(const std::string& terms);

struct PeriodRow {
  Period period = 0;
  PeriodState state{};
  std::int64_t grace_ms = 0, reconciled_ms = 0, closed_ms = 0, stated_ms = 0, paid_ms = 0;  // 0: not yet
  std::string seal, signature;  // hex
  friend bool operator==(const PeriodRow&, const PeriodRow&) = default;
};

// Where every period stands. Periods close in order, so one month says which take no more postings.
struct Periods {
  std::map<Period, PeriodRow> rows;  // those that have left `open`
  Period closed_through = 0;
  bool closed(Period period) const { return period <= closed_through; }
  // Where something of `period` is booked: there, or in the first that is not closed.
  Period booking(Period period) const { return closed(period) ? next_period(closed_through) : period; }
};

// One step on, at that time. Why not, or empty; then nothing has changed. Whether the seal is that of what
// the period holds is the caller's to see.
std::string take_step(Periods& periods, const PeriodStep& step, std::int64_t wall_ms);

}  // namespace trib::ledger
