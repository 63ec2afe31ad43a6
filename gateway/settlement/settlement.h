// Settlement: what finance and partners take away. Exports are made from one moment of the store and
// tie out to it: the parts of the requests, the statements, their lines and the legs of the ledger are the
// same sums, or there is no export. Files and columns: docs/exports.md.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/config/config.h"
#include "gateway/ledger/ledger.h"
#include "gateway/settlement/assignment.h"
#include "gateway/settlement/audit.h"
#include "gateway/settlement/booked.h"
#include "gateway/settlement/close.h"
#include "gateway/settlement/desk.h"
#include "gateway/settlement/invoice.h"
#include "gateway/settlement/meters.h"
#include "gateway/settlement/report.h"
#include "gateway/settlement/signing.h"
#include "gateway/settlement/statement_page.h"

namespace trib::settlement {

enum class Format { csv, jsonl, xlsx, hledger, beancount, voucher, focus, einvoice };
std::optional<Format> parse_format(std::string_view text);
extern const std::string format_names;  // "csv, jsonl, ...", for messages

struct ExportOptions {
  std::string period;  // "2026-11", in Asia/Shanghai
  Format format = Format::csv;
  // "site:dc-one", "vendor:nvidia", "referrer:x": that party's own part alone, without customers' names
  // and charges. Empty: everything.
  std::string party;
  // Of all files together, which are held in memory; refused above it. Rows are not: they pass one by one.
  std::uint64_t bytes_max = 1u << 30;
  bool bom = false;  // before CSV files, for spreadsheets that guess
  config::ExportsConfig config;
};

struct ExportFile {
  std::string name;  // "usage_detail.csv"
  std::string content;
  std::uint64_t rows = 0;  // data rows, without a header line
  money::Amount sum_debit, sum_credit;
};

struct Export {
  std::vector<ExportFile> files;  // the last is manifest.json
  std::string error;              // why there is none; files are empty then
};

Export export_period(ledger::Ledger& ledger, const ExportOptions& options, const SigningKey& key);

// Writes every file into the folder, the manifest last.
std::error_code write_export(Disk& disk, const std::string& dir, const Export& made);

// The manifest's signature covers its text without the member "signature", the last one. Checks it
// against the key in the manifest itself, which a recipient compares with the one that is known.
bool manifest_fits(const std::string& manifest);

}  // namespace trib::settlement
