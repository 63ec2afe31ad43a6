#include "gateway/settlement/voucher.h"

#include <functional>

namespace trib::settlement {
namespace {

struct VoucherLine {
  std::string day, owner, account;
  const config::AccountCode* code = nullptr;
  std::int64_t fen = 0;  // debit positive
  std::uint64_t number = 0, line = 0;
};

std::string filled(std::string text, const std::map<std::string, std::string>& words) {
  for (const auto& [word, value] : words)
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + value.size())) text.replace(at, word.size(), value);
  return text;
}

std::string shown_name(const config::ExportsConfig& config, const std::string& party) {
  const auto* const legal = config.legal(party);
  return legal != nullptr ? legal->legal_name : party.substr(party.find(':') + 1);
}

class VoucherWriter {
 public:
  VoucherWriter(const SheetForm& form, ledger::Period period, const config::ExportsConfig& config)
      : period_(period), config_(config), layouts_(*config.layouts), sheet_(form, "voucher", headers(layouts_)) {}

  // Why not, or empty.
  std::string day(const std::string& day, std::vector<VoucherLine> lines, std::int64_t clearing) {
    if (clearing != 0) lines.push_back({day, "platform", std::string(ledger::account_clearing), nullptr, clearing, 0, 0});
    std::uint64_t n = 0;
    for (VoucherLine& line : lines) {
      if (line.fen == 0) continue;
      line.code = layouts_.code_of(line.account);
      if (line.code == nullptr) return "account " + line.account + " has no code in the layouts: add it to `accounts`";
      if (n == 0) ++vouchers_;
      line.number = vouchers_;
      line.line = ++n;
      put(line);
    }
    return {};
  }
  Vouchers take(const SheetForm& form) {
    Vouchers out;
    out.lines = sheet_.take(out.error);
    Sheet totals(form, "voucher_totals", {"period", "NumberOfEntries", "TotalDebit", "TotalCredit"});
    totals.text(ledger::period_text(period_)).number(vouchers_).amount(out.lines.sum_debit).amount(out.lines.sum_credit);
    totals.add_debit(out.lines.sum_debit);
    totals.add_credit(out.lines.sum_credit);
    totals.end_row();
    out.totals = totals.take(out.error);
    return out;
  }

 private:
  static std::vector<std::string> headers(const config::ExportLayouts& layouts) {
    std::vector<std::string> out;
    for (const auto& column : layouts.voucher) out.push_back(column.header);
    return out;
  }
  void put(const VoucherLine& line) {
    for (const auto& column : layouts_.voucher) cell(column, line);
    (line.fen < 0 ? sheet_.add_credit(fen_amount(-line.fen)) : sheet_.add_debit(fen_amount(line.fen)));
    sheet_.end_row();
  }
  void cell(const config::LayoutColumn& column, const VoucherLine& line) {
    const std::string& field = column.field;
    const bool customer = line.owner.starts_with("customer:"), house = line.owner == "platform";
    if (field == "date") sheet_.text(line.day);
    else if (field == "period") sheet_.text(ledger::period_text(period_));
    else if (field == "word") sheet_.text(layouts_.word);
    else if (field == "number") sheet_.number(line.number);
    else if (field == "line") sheet_.number(line.line);
    else if (field == "summary")
      sheet_.text(filled(layouts_.summary, {{"{day}", line.day}, {"{period}", ledger::period_text(period_)}, {"{owner}", line.owner}, {"{account}", line.account}}));
    else if (field == "account") sheet_.text(line.code->code);
    else if (field == "account_name") sheet_.text(line.code->name);
    else if (field == "currency") sheet_.text(currency);
    else if (field == "debit") line.fen > 0 ? sheet_.decimal(fen_text(line.fen)) : sheet_.none();
    else if (field == "credit") line.fen < 0 ? sheet_.decimal(fen_text(-line.fen)) : sheet_.none();
    else if (field == "rate") sheet_.number(1);
    else if (field == "customer") customer ? sheet_.text(shown_name(config_, line.owner)) : sheet_.none();
    else if (field == "supplier") customer || house ? sheet_.none() : sheet_.text(shown_name(config_, line.owner));
    else if (field == "attachments") sheet_.number(0);
    else if (field == "preparer") sheet_.text(layouts_.preparer);
    else sheet_.text_or_none(column.value);  // a constant; quantity, unit price and project have nothing to say
  }

  const ledger::Period period_;
  const config::ExportsConfig& config_;
  const config::ExportLayouts& layouts_;
  Sheet sheet_;
  std::uint64_t vouchers_ = 0;
};

}  // namespace

Vouchers make_vouchers(const SheetForm& form, ledger::Period period, const Daybook& book, const config::ExportsConfig& config) {
  Vouchers out;
  if (config.layouts == nullptr || config.layouts->voucher.empty()) {
    out.error = "there is no voucher layout: set settlement.exports.layouts (configs/exports.yaml is a sample)";
    return out;
  }
  VoucherWriter writer(form, period, config);
  for (std::size_t at = 0; at < book.entries.size();) {
    const std::string day = book.entries[at].day;
    std::vector<VoucherLine> lines;
    std::int64_t clearing = 0;
    for (; at < book.entries.size() && book.entries[at].day == day; ++at) {
      const DayEntry& entry = book.entries[at];
      clearing += entry.clearing_fen;
      for (const auto& [account, moved] : entry.moved) lines.push_back({day, entry.owner, account, nullptr, moved.fen, 0, 0});
    }
    out.error = writer.day(day, std::move(lines), clearing);
    if (!out.error.empty()) return out;
  }
  return writer.take(form);
}

}  // namespace trib::settlement
