// Settlement: what finance and partners take away. Exports are made from one moment of the store and
// tie out to it: the parts of the requests, the summary, the lines and the legs of the ledger are the
// same sums, or there is no export.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/ledger.h"
#include "gateway/settlement/close.h"
#include "gateway/settlement/booked.h"
#include "gateway/settlement/desk.h"
#include "gateway/settlement/invoice.h"
#include "gateway/settlement/signing.h"

namespace trib::settlement {

enum class Format { csv, jsonl };
std::optional<Format> parse_format(std::string_view text);

struct ExportOptions {
  std::string period;  // "2026-11", in Asia/Shanghai
  Format format = Format::csv;
  // "site:dc-one", "vendor:nvidia", "referrer:x": that party's own part alone, without customers' names
  // and charges. Empty: everything.
  std::string party;
  std::uint64_t bytes_max = 1u << 30;  // of all files together; refused above it
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

Export export_period(ledger::Reader& reader, const ExportOptions& options, const SigningKey& key);
Export export_period(ledger::Ledger& ledger, const ExportOptions& options, const SigningKey& key);

// Writes every file into the folder, the manifest last.
std::error_code write_export(Disk& disk, const std::string& dir, const Export& made);

// The manifest's signature covers its text without the member "signature", the last one. Checks it
// against the key in the manifest itself, which a recipient compares with the one that is known.
bool manifest_fits(const std::string& manifest);

}  // namespace trib::settlement
