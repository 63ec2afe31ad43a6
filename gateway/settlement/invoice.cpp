#include "gateway/settlement/invoice.h"

#include "gateway/base/json_writer.h"
#include "gateway/settlement/amounts.h"
#include "gateway/settlement/desk.h"

namespace trib::settlement {
namespace {

using money::Amount;

template <class Of>
struct Member {
  const char* name;
  Amount Of::*amount;
};
constexpr Member<Invoice> invoice_amounts[] = {
    {"opening_carry", &Invoice::opening_carry}, {"charged", &Invoice::charged},         {"amount", &Invoice::amount},
    {"net", &Invoice::net},                     {"tax", &Invoice::tax},                 {"closing_carry", &Invoice::closing_carry},
    {"vat_accrued", &Invoice::vat_accrued},     {"receivable", &Invoice::receivable}};
constexpr Member<InvoiceLine> line_amounts[] = {
    {"charged", &InvoiceLine::charged}, {"amount", &InvoiceLine::amount}, {"net", &InvoiceLine::net}, {"tax", &InvoiceLine::tax}};

template <class Of, std::size_t n>
void write_amounts(json::Writer& out, const Of& of, const Member<Of> (&members)[n]) {
  for (const auto& member : members) out.text(member.name, (of.*(member.amount)).text());
}

// False: it is none of these. `fine` tells whether it could be read.
template <class Of, std::size_t n>
bool read_amount(json::Cursor& in, std::string_view key, Of& of, const Member<Of> (&members)[n], bool& fine) {
  for (const auto& member : members) {
    if (key != member.name) continue;
    std::string text;
    const auto amount = in.read_string(text) ? Amount::parse(text) : std::nullopt;
    fine = amount.has_value();
    if (fine) of.*(member.amount) = *amount;
    return true;
  }
  return false;
}

bool read_line(json::Cursor& in, InvoiceLine& out) {
  std::string_view key;
  if (!in.enter_object()) return false;
  while (in.next_key(key)) {
    bool fine = false;
    std::int64_t value = 0;
    if (read_amount(in, key, out, line_amounts, fine)) {
    } else if (key == "model") {
      fine = in.read_string(out.model);
    } else if (key == "tax_inclusive") {
      fine = in.read_bool(out.tax_inclusive);
    } else {
      fine = in.read_integer(value) && value >= 0;
      if (key == "price_version") out.price_version = static_cast<std::uint32_t>(value);
      else if (key == "tax_percent") out.tax_percent = static_cast<std::uint32_t>(value);
      else if (key == "requests") out.requests = static_cast<std::uint64_t>(value);
      else if (key == "tokens_in") out.tokens_in = static_cast<std::uint64_t>(value);
      else if (key == "tokens_out") out.tokens_out = static_cast<std::uint64_t>(value);
      else fine = false;
    }
    if (!fine) return false;
  }
  return in.ok();
}

void write_lines(json::Writer& out, const char* name, const std::vector<InvoiceLine>& lines) {
  out.key(name).open('[');
  for (const InvoiceLine& line : lines) {
    out.open('{').text("model", line.model).integer("price_version", line.price_version).integer("tax_percent", line.tax_percent);
    out.boolean("tax_inclusive", line.tax_inclusive);
    write_amounts(out, line, line_amounts);
    for (const auto& [count_name, count] : {std::pair("requests", line.requests), std::pair("tokens_in", line.tokens_in), std::pair("tokens_out", line.tokens_out)})
      out.integer(count_name, static_cast<std::int64_t>(count));
    out.close('}');
  }
  out.close(']');
}

bool read_lines(json::Cursor& in, std::vector<InvoiceLine>& out) {
  constexpr std::size_t lines_max = 10'000;
  bool fine = in.enter_array();
  while (fine && in.next_element()) fine = out.size() < lines_max && read_line(in, out.emplace_back());
  return fine && in.ok();
}

}  // namespace

std::string invoice_text(const Invoice& invoice) {
  json::Writer out;
  out.open('{').text("no", invoice.no).integer("version", invoice.version).integer("period", invoice.period);
  out.text("tenant", invoice.tenant).text("item_code", invoice.item_code);
  write_amounts(out, invoice, invoice_amounts);
  out.integer("made_ms", invoice.made_ms).text("seal_hash", invoice.seal_hash);
  write_lines(out, "lines", invoice.lines);
  if (!invoice.carried.empty()) write_lines(out, "carried", invoice.carried);
  return out.close('}').take();
}

std::optional<Invoice> read_invoice(const std::string& text) {
  json::Cursor in(text, {.depth = 4, .unique_keys = true});
  Invoice out;
  std::string_view key;
  if (!in.enter_object()) return std::nullopt;
  while (in.next_key(key)) {
    bool fine = false;
    std::int64_t value = 0;
    if (read_amount(in, key, out, invoice_amounts, fine)) {
    } else if (key == "no") {
      fine = in.read_string(out.no);
    } else if (key == "tenant") {
      fine = in.read_string(out.tenant);
    } else if (key == "item_code") {
      fine = in.read_string(out.item_code);
    } else if (key == "seal_hash") {
      fine = in.read_string(out.seal_hash);
    } else if (key == "made_ms") {
      fine = in.read_integer(out.made_ms);
    } else if (key == "version") {
      fine = in.read_integer(value) && value > 0;
      out.version = static_cast<std::uint32_t>(value);
    } else if (key == "period") {
      fine = in.read_integer(value) && value > 0;
      out.period = static_cast<ledger::Period>(value);
    } else if (key == "lines" || key == "carried") {
      fine = read_lines(in, key == "lines" ? out.lines : out.carried);
    }
    if (!fine) return std::nullopt;
  }
  if (!in.finish() || out.no.empty() || out.tenant.empty()) return std::nullopt;
  return out;
}

bool adds_up(const Invoice& invoice) {
  Amount charged, amount, net, tax, inside;
  bool whole = true;
  for (const InvoiceLine& line : invoice.lines) {
    charged += line.charged;
    amount += line.amount;
    net += line.net;
    tax += line.tax;
    inside += line.tax_inclusive ? line.amount : line.net;
    whole = whole && line.net + line.tax == line.amount && line.amount == floor_fen(line.amount) && line.net == floor_fen(line.net);
  }
  return whole && charged == invoice.charged && amount == invoice.amount && net == invoice.net && tax == invoice.tax &&
         invoice.opening_carry + invoice.charged == inside + invoice.closing_carry && invoice.receivable == floor_fen(invoice.receivable);
}

std::vector<Invoice> invoices(ledger::Reader& reader, std::optional<ledger::Period> period) {
  std::vector<Invoice> out;
  reader.commands("document", [&](const ledger::CommandRow& row) {
    const auto document = ledger::read_document(row.body);
    if (!document || document->kind != kind_invoice) return true;
    auto invoice = read_invoice(document->attach);
    if (invoice && (!period || invoice->period == *period)) out.push_back(std::move(*invoice));
    return true;
  });
  return out;
}

}  // namespace trib::settlement
