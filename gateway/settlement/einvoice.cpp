#include "gateway/settlement/einvoice.h"

#include <algorithm>

#include "gateway/settlement/amounts.h"
#include "gateway/settlement/daybook.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

using money::Amount;

constexpr std::size_t name_letters_max = 100;

std::size_t letters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string refuse_name(const char* what, const std::string& name) {
  if (name.empty()) return std::string(what) + " is not said";
  if (letters(name) > name_letters_max) return std::string(what) + " is longer than " + std::to_string(name_letters_max) + " letters";
  return {};
}

bool code_fits(std::string_view code) { return code.size() == 19 && code.find_first_not_of("0123456789") == std::string_view::npos; }

// The bureau reckons the tax itself, of the amount with it or without it; it must come to ours.
bool taxed_inside(const InvoiceLine& line) {
  return half_up_fen(part_of(line.amount, Amount::pico(line.tax_percent), Amount::pico(100 + line.tax_percent)).whole) == line.tax;
}
bool taxed_on_top(const InvoiceLine& line) { return half_up_fen(part_of(line.net, Amount::pico(line.tax_percent), Amount::pico(100)).whole) == line.tax; }

bool inside(const Invoice& invoice) { return std::all_of(invoice.lines.begin(), invoice.lines.end(), taxed_inside); }

std::string code_of(const Invoice& invoice, const config::InvoiceItem* item) { return item == nullptr || item->code.empty() ? invoice.item_code : item->code; }

std::string refuse_line(const Invoice& invoice, const InvoiceLine& line, const config::ExportLayouts& layouts) {
  const auto* const item = layouts.item_of(line.model);
  if (auto why = refuse_name("the item's name", item == nullptr ? "" : item->name); !why.empty()) return why + ": add it to `einvoice.items`";
  const std::string code = code_of(invoice, item);
  if (!code_fits(code)) return "the item's code `" + code + "` is not 19 digits";
  if (line.amount <= Amount{}) return "its amount " + line.amount.text() + " is not above zero: a red invoice goes through its confirmation form";
  if (line.net + line.tax != line.amount) return "net and tax do not sum to its amount";
  if (line.amount.pico() % pico_per_fen != 0 || line.tax.pico() % pico_per_fen != 0) return "it is not in whole fen";
  return {};
}

std::string percent_text(std::uint32_t percent) {
  if (percent == 0) return "0";
  return "0." + std::string(percent < 10 ? "0" : "") + std::to_string(percent);
}

std::string money(Amount amount) { return fen_text(to_fen(amount)); }

struct Row {
  const Invoice& invoice;
  const InvoiceLine* line;  // null: of the basic sheet
  std::string serial;
  bool with_tax;
};

std::string basic_cell(const std::string& field, const Row& row, const config::ExportsConfig& config) {
  static const config::LegalParty nobody;
  const auto* const known_buyer = config.legal("customer:" + row.invoice.tenant);
  const auto* const known_seller = config.legal("platform");
  const auto& buyer = known_buyer == nullptr ? nobody : *known_buyer;
  const auto& seller = known_seller == nullptr ? nobody : *known_seller;
  if (field == "serial") return row.serial;
  if (field == "kind") return config.layouts->kind;
  if (field == "tax_included") return row.with_tax ? "是" : "否";
  if (field == "buyer_name") return buyer.legal_name;
  if (field == "buyer_tax_no") return buyer.tax_no;
  if (field == "buyer_address") return buyer.address;
  if (field == "buyer_phone") return buyer.phone;
  if (field == "buyer_bank") return buyer.bank;
  if (field == "buyer_bank_account") return buyer.bank_account;
  if (field == "buyer_email") return buyer.email;
  if (field == "seller_bank") return seller.bank;
  if (field == "seller_bank_account") return seller.bank_account;
  return row.invoice.no;  // remark
}

std::string detail_cell(const std::string& field, const Row& row, const config::ExportsConfig& config) {
  const auto* const item = config.layouts->item_of(row.line->model);
  const Amount amount = row.with_tax ? row.line->amount : row.line->net;
  if (field == "serial") return row.serial;
  if (field == "item_name") return item->name;
  if (field == "item_code") return code_of(row.invoice, item);
  if (field == "specification") return item->specification.empty() ? row.line->model : item->specification;
  if (field == "unit") return item->unit;
  if (field == "quantity") return "1";
  if (field == "unit_price" || field == "amount") return money(amount);
  if (field == "tax_rate") return percent_text(row.line->tax_percent);
  return {};  // discount: none is given
}

template <class Cell>
void put(PlainTable& table, const std::vector<config::LayoutColumn>& columns, const Cell& cell) {
  auto& row = table.rows.emplace_back();
  for (const auto& column : columns) row.push_back(column.field.empty() ? column.value : cell(column.field));
}

PlainTable table_of(const std::string& name, const std::vector<config::LayoutColumn>& columns) {
  PlainTable out;
  out.name = name;
  for (const auto& column : columns) out.columns.push_back(column.header);
  return out;
}

}  // namespace

std::string refuse(const Invoice& invoice, const config::ExportsConfig& config) {
  const std::string of = "invoice " + invoice.no;
  const auto* const buyer = config.legal("customer:" + invoice.tenant);
  const std::string mend = ": add party customer:" + invoice.tenant + " to settlement.exports.parties";
  if (auto why = refuse_name("the buyer's name", buyer == nullptr ? "" : buyer->legal_name); !why.empty()) return of + ": " + why + mend;
  if (buyer->tax_no.empty()) return of + ": the buyer's tax number is not said" + mend;
  if (!adds_up(invoice)) return of + ": its lines do not sum to it";
  for (std::size_t i = 0; i < invoice.lines.size(); ++i) {
    const InvoiceLine& line = invoice.lines[i];
    auto why = refuse_line(invoice, line, *config.layouts);
    if (why.empty() && !inside(invoice) && !taxed_on_top(line)) why = "its tax " + line.tax.text() + " is not what the bureau reckons from its rate";
    if (!why.empty()) return of + ", line " + std::to_string(i + 1) + " (" + line.model + "): " + why;
  }
  return {};
}

ExportFile make_einvoices(const std::vector<Invoice>& invoices, std::int64_t made_ms, const config::ExportsConfig& config, std::string& why) {
  ExportFile out;
  out.name = "einvoice.xlsx";
  if (config.layouts == nullptr || config.layouts->basic.empty() || config.layouts->details.empty()) {
    why = "there is no e-invoice layout: set settlement.exports.layouts (configs/exports.yaml is a sample)";
    return out;
  }
  PlainTable basic = table_of(config.layouts->basic_sheet, config.layouts->basic), details = table_of(config.layouts->details_sheet, config.layouts->details);
  for (const Invoice& invoice : invoices) {
    if (invoice.lines.empty()) continue;  // below a fen: all is carried
    why = refuse(invoice, config);
    if (!why.empty()) return out;
    Row row{invoice, nullptr, std::to_string(basic.rows.size() + 1), inside(invoice)};
    put(basic, config.layouts->basic, [&](const std::string& field) { return basic_cell(field, row, config); });
    for (const InvoiceLine& line : invoice.lines) {
      row.line = &line;
      put(details, config.layouts->details, [&](const std::string& field) { return detail_cell(field, row, config); });
      out.sum_debit += line.amount;
      out.sum_credit += line.net + line.tax;
    }
  }
  out.rows = details.rows.size();
  if (out.rows == 0) {
    why = "no invoice of this month has an amount; `tributary invoice make` makes them once the month is closed";
    return out;
  }
  out.content = xlsx_book({basic, details}, made_ms, why);
  return out;
}

}  // namespace trib::settlement
