// The two meters against each other: what the gateway counted of each attempt, and what the site that served it has
// signed. Pure reading; a receipt never moves money. Requests are those whose id was minted in the range asked for.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/quantities.h"
#include "gateway/ledger/reader.h"
#include "gateway/ledger/receipt.h"

namespace trib::ledger {

// Two figures agree when they are within the larger of both.
struct MeterRule {
  std::uint64_t tokens = 2;
  std::uint64_t ppm = 10'000;
  bool agrees(std::uint64_t gateway, std::uint64_t site) const;
};

enum class MeterState : std::uint8_t {
  equal,
  within,      // the tolerance; or the site worked for what broke off before it arrived: waste
  more,        // the site signed more than the gateway counted: never paid
  less,        // the site signed less than the gateway counted
  no_receipt,  // of an attempt that delivered something, by a site that dials in
  no_request,  // a receipt of no attempt that was sent to that site
  twice,       // a receipt of an attempt that another receipt stands for
  waiting,     // no receipt or no request yet, and it is early
  unsigned_,   // by a site that the gateway dials: it has no second meter
};
inline constexpr std::size_t meter_states = 9;
std::string_view name(MeterState state);
bool differs(MeterState state);  // it waits to be explained

// An attempt on which the meters differ, with both records.
struct MeterLine {
  MeterState state{};
  std::string site, model;
  RequestId request;
  std::uint16_t attempt = 0;
  std::int64_t at_ms = 0;  // the request's; of a receipt without one, when it came in
  std::optional<AttemptRow> gateway;
  std::optional<Receipt> signed_;
  std::string root;     // the command that holds the receipt; empty: none
  bool lower = true;    // the contract's `policies.meters`: the lower count holds until it is resolved
  bool explained = false;
  std::string subject() const;      // "receipt:SITE:REQUEST-N", for `tributary period explain`
  std::string day_subject() const;  // "receipts:SITE:YYYY-MM-DD", which explains all of a site's day
};

// Of one site and model. Counts as in quantities.h: attempts, then tokens by class.
struct MeterSum {
  std::array<std::uint64_t, meter_states> attempts{};
  Quantity gateway{}, billed{}, site{};  // site: what was signed
};

struct MeterDay {
  std::int64_t begin_ms = 0;  // in Asia/Shanghai
  std::string site, model;
  friend auto operator<=>(const MeterDay&, const MeterDay&) = default;
};

struct MeterReport {
  std::map<std::pair<std::string, std::string>, MeterSum> sums;  // by site and model
  std::map<MeterDay, Quantity> apart;  // signed less counted, where that is anything; nothing of `waiting` and `unsigned`
  std::vector<MeterLine> lines;      // at most lines_max, in the order of the requests; then receipts without one
  std::uint64_t differing = 0;       // all of them
  std::uint64_t unexplained = 0;     // of those
  std::uint64_t holding = 0;         // unexplained under a contract by which the lower count holds: hold up the close
  std::string error;                 // not complete: why, and the mend
};

struct MeterQuestion {
  std::int64_t from_ms = 0, to_ms = 0;  // half-open
  std::int64_t now_ms = 0;
  std::int64_t waiting_ms = 600'000;    // how long a receipt may take before it is missed
  MeterRule rule;
  std::function<bool(const std::string& site)> dials_in;
  const Book* book = nullptr;           // for the contracts' rule; null: the lower count holds
  // Each attempt that delivered something; `confirmed`: the site's receipt agrees, or the difference is explained.
  std::function<void(const RequestRow&, const AttemptRow&, bool confirmed)> judged;
  std::function<bool()> go_on;  // asked now and then; false: the report ends with an error
  std::size_t lines_max = 10'000;
  std::size_t receipts_max = 4'000'000; // held at once, some 250 bytes each
};
std::int64_t minted_ms(const RequestId& id);  // Unix ms, from the id itself

MeterReport compare_meters(Reader& reader, const MeterQuestion& question);

}  // namespace trib::ledger
