// Reconciliation: two tellings of the same money or tokens side by side, and what of it nobody has explained.
// Every report has one shape: figures, and findings. A finding that `tributary period explain` names by its
// subject is explained; the others make the report's command end with 1. Reads one moment; moves nothing.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

inline constexpr std::size_t report_rows_max = 10'000;  // shown; all are counted

struct Finding {
  std::string subject;  // for `tributary period explain`; empty: it cannot be explained away
  std::string why;
  bool explained = false;
  std::vector<std::pair<std::string, std::string>> records;  // what each side says: name and value, JSON
};

struct Report {
  std::string name, title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // figures, a cell a column
  std::vector<Finding> findings;               // at most report_rows_max
  std::uint64_t found = 0, unexplained = 0;    // of all findings
  std::vector<std::string> notes;              // what it does not say
  std::string error;                           // it could not be made: why, and the mend
  bool compared = true;                        // false: there was nothing to set beside the books, so it says nothing

  bool fine() const { return error.empty() && unexplained == 0; }
  void row(std::vector<std::string> cells);
  void finding(Finding one);
};
std::string report_json(const Report& report);

struct ReportFile {  // of a bank, a supplier or a partner
  std::string name, text;
  std::string layout;  // JSON as in configs/reports; empty: the one shipped there
};

struct ReportQuestion {
  std::int64_t from_ms = 0, to_ms = 0;  // half-open; whole days in Asia/Shanghai
  std::int64_t now_ms = 0;
  std::int64_t waiting_ms = 600'000;    // how long a receipt may take before it is missed
  std::string site;                     // of receipts and upstream; empty: all
  std::optional<ReportFile> file;
  std::function<bool(const std::string& site)> dials_in;
  std::int64_t hold_ms_max = 0;         // after which an open request's hold is older than its deadline
  std::vector<std::string> served;      // models that are offered now
  std::span<const ledger::Checkpoint> checkpoints;
  metering::Journal* journal = nullptr;
};

struct ReportKind {
  std::string_view name, title;
  bool wants_file = false;
};
std::span<const ReportKind> report_kinds();

// None: there is no such report. Blocks; reads the store on a connection of its own.
std::optional<Report> make_report(ledger::Ledger& ledger, std::string_view name, const ReportQuestion& question);

}  // namespace trib::settlement
