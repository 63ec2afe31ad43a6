// One export: one walk over the month's requests, then its files. Private to export*.cpp.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/settlement/journal_text.h"
#include "gateway/settlement/lines.h"
#include "gateway/settlement/manifest.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {

class Exporter {
 public:
  Exporter(ledger::Reader& reader, std::shared_ptr<const ledger::Book> book, const ExportOptions& options, ledger::Period period)
      : reader_(reader), book_(std::move(book)), options_(options), period_(period), lines_(period, options.party) {}

  bool run(Export& out);
  ManifestHead head() const;

 private:
  bool whole() const { return options_.party.empty(); }
  bool fail(Export& out, std::string why) {
    out.error = std::move(why);
    return false;
  }
  SheetForm form(Format format, bool versioned) const;
  Sheet sheet(std::string_view name, std::vector<std::string> columns, Format format) const;
  // Spreadsheets are for tables that people read: what has a row a request or a transfer comes as JSON Lines.
  Format detail_format() const { return options_.format == Format::xlsx ? Format::jsonl : options_.format; }
  bool keep(Export& out, Sheet& sheet);
  bool keep(Export& out, ExportFile file);

  void read_batches();
  bool read_requests(Sheet* detail);  // nothing of them where the format has no detail
  std::string read_statements();      // why they do not tie out
  bool concerns(const ledger::AttemptRow& attempt, const std::vector<ledger::Part>& parts) const;
  std::string customer() const { return options_.party.starts_with("customer:") ? options_.party.substr(9) : std::string(); }
  bool may_see_gross(const std::string& contract, std::uint32_t version) const;
  bool may_see_gross(const Statement& statement) const;
  void detail_row(Sheet& sheet, const ledger::RequestRow& row) const;
  void detail_parts(Sheet& sheet, const ledger::RequestRow& row) const;
  bool journal(Export& out);
  bool focus(Export& out);
  bool einvoice(Export& out);
  std::vector<Invoice> invoices_made();  // of the customer, or of all
  bool tables(Export& out);
  bool detail(Export& out);
  bool summary(Export& out);
  bool settlement_lines(Export& out);
  void statement_head(Sheet& sheet, const Statement& statement) const;  // period to tax_no
  // contract_id to seal_hash, and the row's end.
  void statement_cells(Sheet& sheet, const Statement& statement, money::Amount paid, bool gross) const;
  bool trial_balance(Export& out);
  bool transfers(Export& out);

  ledger::Reader& reader_;
  const std::shared_ptr<const ledger::Book> book_;
  const ExportOptions& options_;
  const ledger::Period period_;
  std::uint64_t bytes_ = 0;
  Turnover turnover_;  // of everybody, whoever reads: it must agree with the accounts
  Lines lines_;
  std::map<std::string, Statement> statements_;  // of those that the reader may see
  bool provisional_ = false;
  std::map<std::uint64_t, Sha256> hashes_;  // of batches
  std::uint64_t last_batch_ = 0;            // of the period
};

}  // namespace trib::settlement
