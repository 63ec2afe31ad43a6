// The daily meeting of the two meters: what the sites signed against what the gateway counted (ledger's
// receipt_check.h), booked into the quantity ledger. For each day, site and model a document moves what they
// differ by from Q900/produced to Q900/meters, so that `produced` is what the site signed; a receipt that comes
// later makes another document, of the rest. Money is never moved.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

// Who, when and how far apart, for people.
std::string meter_text(const ledger::MeterLine& line);

// compare_meters over any range: day by day where there are too many receipts for one pass.
ledger::MeterReport compare_days(ledger::Reader& reader, ledger::MeterQuestion question);

// What is to be posted, by id ("meters:2026-11-28:1", ":2" ...), so that Q900 says of these days what `found` says.
// What belongs to a closed month goes to the first that is open.
std::vector<std::pair<std::string, ledger::Document>> meter_documents(ledger::Reader& reader, const ledger::MeterReport& found,
                                                                      std::int64_t from_ms, std::int64_t to_ms);

// For a month's checklist: empty, or what the meters leave open.
std::string meters_open(const ledger::MeterReport& found, ledger::Period period);

// One meeting over whole days: compares and books. Blocks; any thread.
struct Meeting {
  std::string day;  // the first, "2026-11-24"
  ledger::MeterReport found;
  std::size_t booked = 0;  // documents
  std::string error;
};
Meeting meet(ledger::Ledger& ledger, std::int64_t from_ms, std::int64_t to_ms, std::int64_t wall_ms,
             const std::function<bool(const std::string& site)>& dials_in, const std::function<bool()>& go_on);

// The daily one: each day of the last grace and the one before, up to yesterday in Asia/Shanghai, oldest first. Ends with the
// first that has an error, which `error` names, or when `go_on` (may be null) says so.
struct DailyMeeting {
  std::vector<Meeting> days;
  std::int64_t unexplained = 0;  // attempts, of all of them
  std::string error;
};
DailyMeeting meet_daily(ledger::Ledger& ledger, std::int64_t grace_days, std::int64_t wall_ms,
                        const std::function<bool(const std::string& site)>& dials_in, const std::function<bool()>& go_on);
// How long from now: to a quarter past the next midnight in Asia/Shanghai, when a receipt of the day is late; after a
// failure ten minutes.
std::int64_t next_meeting_in_ms(std::int64_t wall_ms, bool failed);

}  // namespace trib::settlement
