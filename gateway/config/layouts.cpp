// The layouts of vouchers and e-invoices: a file of its own, `settlement.exports.layouts`.
#include <algorithm>

#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"accounts", Type::list, "", "0", "1000", "Where each account stands in your chart."},
    {"accounts[].account", Type::text, "required", "", "", "Our code (`L210`), or one account (`L210/dc-one`), which then comes first."},
    {"accounts[].code", Type::text, "required", "", "", "Yours."},
    {"accounts[].name", Type::text, "required", "", "", "Yours."},
    {"voucher", Type::section, "", "", "", "General ledger vouchers, one a day."},
    {"voucher.word", Type::text, "记", "", "", "The voucher word."},
    {"voucher.preparer", Type::text, "Tributary", "", "", "Who prepared it."},
    {"voucher.summary", Type::text, "Tributary {day} {owner}", "", "", "A line's summary; `{day}`, `{period}`, `{owner}` and `{account}` are filled in."},
    {"voucher.columns", Type::list, "", "0", "200", "The file's columns in order."},
    {"voucher.columns[].header", Type::text, "required", "", "", "As the importing product wants it."},
    {"voucher.columns[].field", Type::text, "", "", "",
     "`date`, `period`, `word`, `number`, `line`, `summary`, `account`, `account_name`, `currency`, `debit`, `credit`, `rate`, `quantity`, `unit_price`, "
     "`customer`, `supplier`, `project`, `attachments` or `preparer`. Quantity, unit price and project are empty, attachments 0: nothing in the books says them."},
    {"voucher.columns[].value", Type::text, "", "", "", "The same on every line, instead of a field; without either: empty."},
    {"einvoice", Type::section, "", "", "", "The batch of digital invoices, two sheets."},
    {"einvoice.kind", Type::text, "数电发票（增值税专用发票）", "", "", "发票类型"},
    {"einvoice.basic", Type::section, "", "", "", "The sheet with a row an invoice."},
    {"einvoice.basic.sheet", Type::text, "发票基本信息", "", "", "Its name."},
    {"einvoice.basic.columns", Type::list, "", "0", "200", "Its columns in order."},
    {"einvoice.basic.columns[].header", Type::text, "required", "", "", "As the tax bureau's file has it."},
    {"einvoice.basic.columns[].field", Type::text, "", "", "",
     "`serial`, `kind`, `tax_included`, `buyer_name`, `buyer_tax_no`, `buyer_address`, `buyer_phone`, `buyer_bank`, `buyer_bank_account`, `buyer_email`, "
     "`seller_bank`, `seller_bank_account` or `remark`."},
    {"einvoice.basic.columns[].value", Type::text, "", "", "", "The same on every row, instead of a field; without either: empty."},
    {"einvoice.details", Type::section, "", "", "", "The sheet with a row a line of an invoice."},
    {"einvoice.details.sheet", Type::text, "发票明细信息", "", "", "Its name."},
    {"einvoice.details.columns", Type::list, "", "0", "200", "Its columns in order."},
    {"einvoice.details.columns[].header", Type::text, "required", "", "", "As the tax bureau's file has it."},
    {"einvoice.details.columns[].field", Type::text, "", "", "",
     "`serial`, `item_name`, `item_code`, `specification`, `unit`, `quantity`, `unit_price`, `amount`, `tax_rate` or `discount`."},
    {"einvoice.details.columns[].value", Type::text, "", "", "", "The same on every row, instead of a field; without either: empty."},
    {"einvoice.items", Type::list, "", "0", "1000", "What is sold, by model."},
    {"einvoice.items[].model", Type::text, "required", "", "", "A model's id, or `*` for all others."},
    {"einvoice.items[].name", Type::text, "required", "", "", "项目名称"},
    {"einvoice.items[].code", Type::text, "", "", "", "19 digits; absent: the invoice's own."},
    {"einvoice.items[].specification", Type::text, "", "", "", "规格型号"},
    {"einvoice.items[].unit", Type::text, "", "", "", "单位"},
};

// The words of a `field` row, which the row's meaning lists between backquotes.
std::vector<std::string> words_in(std::string_view path) {
  std::vector<std::string> out;
  for (const Key& key : rows) {
    if (key.path != path) continue;
    for (std::size_t at = key.meaning.find('`'); at != std::string_view::npos;) {
      const auto end = key.meaning.find('`', at + 1);
      out.emplace_back(key.meaning.substr(at + 1, end - at - 1));
      at = key.meaning.find('`', end + 1);
    }
  }
  return out;
}

std::vector<LayoutColumn> read_columns(const Section& in) {
  const auto words = words_in((in.path().empty() ? "" : in.path() + ".") + "columns[].field");
  std::vector<LayoutColumn> out;
  for (const Section& column : in.sections("columns")) {
    LayoutColumn one{column.text("header"), column.text("field"), column.text("value")};
    if (!one.field.empty() && !one.value.empty()) column.fail("value", "stands beside `field`: a column has one of them");
    if (!one.field.empty() && std::find(words.begin(), words.end(), one.field) == words.end()) {
      const std::string near = nearest(one.field, words);
      column.fail("field", "is none of the fields" + (near.empty() ? std::string() : "; did you mean `" + near + "`?"));
    }
    out.push_back(std::move(one));
  }
  return out;
}

InvoiceItem read_item(const Section& in) {
  InvoiceItem out{in.text("model"), in.text("name"), in.text("code"), in.text("specification"), in.text("unit")};
  if (!out.code.empty() && (out.code.size() != 19 || out.code.find_first_not_of("0123456789") != std::string::npos))
    in.fail("code", "must be 19 digits");
  return out;
}

}  // namespace

std::span<const Key> layout_keys() { return rows; }

const AccountCode* ExportLayouts::code_of(std::string_view account) const {
  auto found = accounts.find(account);
  if (found == accounts.end()) found = accounts.find(account.substr(0, account.find('/')));
  return found == accounts.end() ? nullptr : &found->second;
}

const InvoiceItem* ExportLayouts::item_of(std::string_view model) const {
  const InvoiceItem* out = nullptr;
  for (const InvoiceItem& item : items)
    if (item.model == model || (item.model == "*" && out == nullptr)) out = &item;
  return out;
}

std::shared_ptr<const ExportLayouts> parse_layouts(const std::string& file, const std::string& yaml, Environment env) {
  const Document document(file, yaml, env);
  const Section top(document, rows);
  auto out = std::make_shared<ExportLayouts>();
  for (const Section& in : top.sections("accounts")) {
    const std::string account = in.text("account");
    if (!out->accounts.emplace(account, AccountCode{in.text("code"), in.text("name")}).second) in.fail("account", "stands twice");
  }
  const Section voucher = top.section("voucher");
  out->word = voucher.text("word");
  out->preparer = voucher.text("preparer");
  out->summary = voucher.text("summary");
  out->voucher = read_columns(voucher);
  const Section einvoice = top.section("einvoice");
  out->kind = einvoice.text("kind");
  out->basic_sheet = einvoice.section("basic").text("sheet");
  out->basic = read_columns(einvoice.section("basic"));
  out->details_sheet = einvoice.section("details").text("sheet");
  out->details = read_columns(einvoice.section("details"));
  for (const Section& in : einvoice.sections("items")) out->items.push_back(read_item(in));
  return out;
}

}  // namespace trib::config
