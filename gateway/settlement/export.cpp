#include <algorithm>

#include "gateway/settlement/einvoice.h"
#include "gateway/settlement/export_call.h"
#include "gateway/settlement/focus.h"
#include "gateway/settlement/voucher.h"

namespace trib::settlement {
namespace {

// Why the format has no files of that party; empty: it has.
std::string refuse_party(const std::string& party, Format format) {
  if (party.empty()) return {};
  const auto colon = party.find(':');
  const std::string type = party.substr(0, colon);
  const bool named = colon != std::string::npos && colon + 1 < party.size();
  if (format == Format::focus || format == Format::einvoice) return named && type == "customer" ? "" : "this is for customers: a party is customer:TENANT";
  if (format == Format::voucher) return "vouchers are the house's own: leave the party out";
  const bool known = party == "platform" || (named && (type == "site" || type == "vendor" || type == "referrer"));
  return known ? "" : "a party is site:ID, vendor:ID, referrer:ID or platform";
}

}  // namespace

// The date is one that the books give: the same books, the same bytes.
SheetForm Exporter::form(Format format, bool versioned) const { return {format, options_.bom, ledger::period_end_ms(period_), versioned}; }

Sheet Exporter::sheet(std::string_view name, std::vector<std::string> columns, Format format) const {
  return {form(format, true), name, std::move(columns)};
}

bool Exporter::keep(Export& out, Sheet& sheet) {
  std::string why;
  ExportFile file = sheet.take(why);
  return why.empty() ? keep(out, std::move(file)) : fail(out, why);
}

bool Exporter::keep(Export& out, ExportFile file) {
  bytes_ += file.content.size();
  if (bytes_ > options_.bytes_max) return fail(out, "the export is larger than " + std::to_string(options_.bytes_max) + " bytes; export one party at a time");
  out.files.push_back(std::move(file));
  return true;
}

void Exporter::read_batches() {
  reader_.batches([&](const ledger::BatchRow& batch) {
    if (batch.period_from > period_ || period_ > batch.period_to) return true;
    hashes_[batch.id] = batch.hash;
    last_batch_ = batch.id;
    return true;
  });
}

bool Exporter::read_requests(Sheet* detail) {
  return reader_.usage(period_, [&](const ledger::RequestRow& row) {
    add(row, *book_, turnover_);
    lines_.add(row, *book_);
    if (detail == nullptr) return true;
    const bool mine = whole() || std::any_of(row.attempts.begin(), row.attempts.end(),
                                             [&](const ledger::AttemptRow& a) { return concerns(a, row.parts); });
    if (mine) detail_row(*detail, row);
    return detail->size() <= options_.bytes_max;
  });
}

// Those that were made; before, and for whom none is made, as the books stand.
std::string Exporter::read_statements() {
  if (auto why = differs(reader_, period_, turnover_); !why.empty()) return why;
  reader_.adjustments(period_, [&](const ledger::TransferRow& row) {
    lines_.add(row, stands_as(reader_, row));
    return true;
  });
  desk_documents(reader_, [&](const ledger::CommandRow&, const ledger::Document& document, const Attached& attached) {
    if (attached.period != period_) return true;
    add(document, attached, *book_, turnover_);
    lines_.add(document, attached, *book_);
    return true;
  });
  std::map<std::string, Statement> made;
  for (auto& one : statements(reader_, period_)) made[one.party] = std::move(one);
  for (auto& [party, reckoned] : reckon(reader_, *book_, period_, turnover_, Whose::everybody)) {
    if (!whole() && party != options_.party) continue;
    const auto found = made.find(party);
    Statement& one = statements_[party] = found == made.end() ? reckoned : found->second;
    if (found != made.end()) continue;
    one.version = 0;
    if (one.seal_hash.empty() && one.batch_to != 0) one.seal_hash = to_hex(hashes_[one.batch_to]);
    if (!adds_up(one)) return "what " + party + " is owed does not add up to its account";
  }
  return lines_.differs(statements_);
}

bool Exporter::journal(Export& out) {
  Daybook book;
  if (auto why = read_daybook(reader_, period_, options_.party, book); !why.empty()) return fail(out, std::move(why));
  if (options_.format == Format::voucher) {
    Vouchers made = make_vouchers(form(Format::csv, false), period_, book, options_.config);
    if (!made.error.empty()) return fail(out, std::move(made.error));
    return keep(out, std::move(made.lines)) && keep(out, std::move(made.totals));
  }
  const JournalHead about{period_, options_.party, head().seal_hash, provisional_};
  ExportFile file = options_.format == Format::hledger ? hledger_journal(about, book) : beancount_journal(about, book);
  return keep(out, std::move(file));
}

bool Exporter::focus(Export& out) {
  FocusRows rows(period_, customer());
  std::string why;
  const bool walked = reader_.usage(period_, [&](const ledger::RequestRow& row) {
    add(row, *book_, turnover_);
    why = rows.add(row, *book_);
    return why.empty();
  });
  if (!walked || !why.empty()) return fail(out, walked ? why : reader_.error());
  if (why = differs(reader_, period_, turnover_); !why.empty()) return fail(out, why);
  reader_.adjustments(period_, [&](const ledger::TransferRow& row) {
    rows.add(row);
    return true;
  });
  for (const Invoice& one : invoices_made()) rows.invoiced(one.tenant, one.no);
  ExportFile file = rows.take(form(Format::csv, false), *book_, options_.config, why);
  return why.empty() ? keep(out, std::move(file)) : fail(out, why);
}

std::vector<Invoice> Exporter::invoices_made() {
  auto out = invoices(reader_, period_);
  std::erase_if(out, [&](const Invoice& one) { return !whole() && one.tenant != customer(); });
  return out;
}

bool Exporter::einvoice(Export& out) {
  std::string why;
  ExportFile file = make_einvoices(invoices_made(), ledger::period_end_ms(period_), options_.config, why);
  return why.empty() ? keep(out, std::move(file)) : fail(out, why + "; nothing is exported");
}

ManifestHead Exporter::head() const {
  ManifestHead out;
  out.period = options_.period;
  out.party = options_.party;
  out.batch_to = last_batch_;
  out.provisional = provisional_;
  const auto found = hashes_.find(last_batch_);
  if (found != hashes_.end()) out.seal_hash = to_hex(found->second);
  return out;
}

bool Exporter::run(Export& out) {
  read_batches();
  provisional_ = true;
  for (const auto& row : reader_.periods())
    if (row.period == period_ && row.state >= ledger::PeriodState::closed) provisional_ = false;
  bool made = false;
  switch (options_.format) {
    case Format::csv:
    case Format::jsonl:
    case Format::xlsx: made = tables(out); break;
    case Format::hledger:
    case Format::beancount:
    case Format::voucher: made = journal(out); break;
    case Format::focus: made = focus(out); break;
    case Format::einvoice: made = einvoice(out); break;
  }
  return made && (reader_.error().empty() || fail(out, reader_.error()));
}

// What customers paid for its part, where the contract says so.
bool Exporter::may_see_gross(const std::string& contract, std::uint32_t version) const {
  const auto* const found = book_->contract(contract, version);
  return whole() || (found != nullptr && found->policies.show_gross);
}

bool Exporter::may_see_gross(const Statement& statement) const { return whole() || shows_gross(turnover_, *book_, statement.party); }

Export export_period(ledger::Ledger& ledger, const ExportOptions& options, const SigningKey& key) {
  Export out;
  const auto period = ledger::parse_period(options.period);
  if (!period) {
    out.error = "a period is YYYY-MM";
  } else if (out.error = refuse_party(options.party, options.format); !out.error.empty()) {
    return out;
  } else if (const auto reader = ledger.reader(out.error); reader != nullptr) {
    if (!reader->begin()) out.error = "the store cannot be read";
    Exporter exporter(*reader, ledger.book(), options, *period);
    if (out.error.empty() && exporter.run(out)) out.files.push_back(make_manifest(exporter.head(), out.files, key));
    reader->end();
  }
  if (!out.error.empty()) out.files.clear();
  return out;
}

}  // namespace trib::settlement
