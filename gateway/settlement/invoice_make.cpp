// Invoices of a closed month: what customers were charged, in whole fen, and its VAT.
#include <algorithm>
#include <set>

#include "gateway/settlement/amounts.h"
#include "gateway/settlement/booked.h"
#include "gateway/settlement/desk.h"
#include "gateway/settlement/turnover.h"

namespace trib::settlement {
namespace {

using ledger::Period;
using money::Amount;

struct LineSum {
  Amount charged, vat;
  std::uint64_t requests = 0, tokens_in = 0, tokens_out = 0;
};
using Key = std::pair<std::string, std::uint32_t>;  // model, price version
using Sums = std::map<std::string, std::map<Key, LineSum>>;  // by tenant

bool read_sums(ledger::Reader& reader, Period period, Sums& out) {
  const bool walked = reader.usage(period, [&](const ledger::RequestRow& request) {
    const ledger::UsageRow& row = request.row;
    if (row.state != ledger::State::billed) return true;
    LineSum& line = out[row.tenant][{row.model, row.price_version}];
    line.charged += *row.gross;
    for (const auto& part : request.parts)
      if (part.party == "vat") line.vat += part.amount;
    ++line.requests;
    line.tokens_in += row.counts.input + row.counts.cached_input + row.counts.cache_write;
    line.tokens_out += row.counts.output + row.counts.reasoning;
    return true;
  });
  return walked && desk_documents(reader, [&](const ledger::CommandRow&, const ledger::Document&, const Attached& attached) {
    if (attached.period != period) return true;
    for (const CustomerChange& change : attached.customers) {
      LineSum& line = out[change.tenant][{change.model, change.price_version}];
      line.charged += change.gross;
      line.vat += change.vat;
    }
    return true;
  });
}

// Whole fen: floors, and what is left of the total one fen each to the largest rests, ties to the earlier.
void round_lines(Invoice& invoice, Amount total) {
  Amount left = total;
  std::vector<std::size_t> order;
  const auto& lines = invoice.lines;
  for (InvoiceLine& line : invoice.lines) {
    line.amount = floor_fen(line.charged);
    left -= line.amount;
    order.push_back(order.size());
  }
  const auto rest = [&](std::size_t i) { return lines[i].charged - lines[i].amount; };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rest(a) != rest(b) ? rest(a) > rest(b) : a < b; });
  const auto fen = left.pico() / pico_per_fen;
  TRIB_ASSERT(fen >= 0 && fen <= static_cast<money::int128>(lines.size()));
  for (std::size_t i = 0; i < static_cast<std::size_t>(fen); ++i) invoice.lines[order[i]].amount += Amount::pico(pico_per_fen);
}

void tax_lines(Invoice& invoice) {
  for (InvoiceLine& line : invoice.lines) {
    // Half-up of amount * percent / whole, in fen; a percent of a fen is whole pico.
    const auto tax_of = [&](Amount amount, std::uint32_t whole) {
      const Amount magnitude = amount.negative() ? -amount : amount;
      const money::int128 fen = magnitude.pico() / pico_per_fen * line.tax_percent;
      const Amount tax = Amount::pico((fen * 2 + whole) / (2 * whole) * pico_per_fen);
      return amount.negative() ? -tax : tax;
    };
    if (line.tax_inclusive) {
      line.tax = tax_of(line.amount, 100 + line.tax_percent);
      line.net = line.amount - line.tax;
    } else {
      line.net = line.amount;
      line.tax = tax_of(line.net, 100);
      line.amount = line.net + line.tax;
    }
    invoice.amount += line.amount;
    invoice.net += line.net;
    invoice.tax += line.tax;
  }
}

class Invoicing {
 public:
  Invoicing(ledger::Ledger& ledger, Period period, std::int64_t wall_ms)
      : ledger_(ledger), period_(period), wall_ms_(wall_ms), book_(ledger.book()) {}

  std::vector<Entry> run() {
    reader_ = ledger_.reader(why_);
    if (!reader_ || !reader_->begin()) return {ended(Entry::Result::failed, "the store cannot be read: " + why_)};
    if (auto why = not_yet(); !why.empty()) return {ended(Entry::Result::refused, why)};
    Sums sums;
    std::vector<std::pair<std::string, std::string>> earlier;  // tenants and invoices of months before, made after this one
    for (auto& one : invoices(*reader_)) {
      if (one.period < period_ && one.made_ms >= ledger::period_end_ms(period_)) earlier.emplace_back(one.tenant, one.no);
      if (one.period == period_) made_.insert(one.tenant);
      if (one.period > period_) later_.insert(one.tenant);
      if (one.period < period_) last_[one.tenant] = std::move(one);
    }
    const bool read = read_sums(*reader_, period_, sums);
    for (const auto& row : reader_->trial_balance_after(period_).accounts) stands_[row.account] = row.credit - row.debit;
    for (const auto& [tenant, no] : earlier) add_late(tenant, no);
    if (!read || !reader_->error().empty()) return {ended(Entry::Result::failed, reader_->error())};
    std::vector<std::pair<Invoice, Entry>> planned;
    for (const auto& [tenant, lines] : sums) {
      if (made_.contains(tenant)) continue;
      Invoice invoice;
      const std::string why = reckon(tenant, lines, invoice);
      Entry entry = ended(Entry::Result::refused, why.empty() ? "" : tenant + ": " + why);
      entry.id = "invoice:" + invoice.no;
      planned.emplace_back(std::move(invoice), std::move(entry));
    }
    reader_->end();
    std::vector<Entry> out;
    for (auto& [invoice, entry] : planned) out.push_back(entry.why.empty() ? post(invoice) : std::move(entry));
    return out;
  }

 private:
  static Entry ended(Entry::Result result, std::string why) {
    Entry out;
    out.result = result;
    out.why = std::move(why);
    return out;
  }

  // What an invoice of an earlier month, made late, has moved since this one's end is not owed a second time.
  void add_late(const std::string& tenant, const std::string& no) {
    const std::string account = ledger::customer_account(tenant);
    reader_->transfers_of(no, [&](const ledger::TransferRow& row) {
      for (const auto& leg : row.legs)
        if (row.period > period_ && leg.account == account) stands_[account] -= leg.amount;
      return true;
    });
  }

  std::string not_yet() {
    ledger::Periods periods;
    for (const auto& row : reader_->periods()) {
      if (row.state >= ledger::PeriodState::closed) periods.closed_through = std::max(periods.closed_through, row.period);
      if (row.period == period_) seal_ = row.seal;
    }
    const std::string text = ledger::period_text(period_);
    if (!periods.closed(period_) || seal_.empty()) return text + " is not closed yet: tributary period close " + text;
    booked_in_ = periods.booking(ledger::next_period(period_));
    if (booked_in_ > ledger::period_of(wall_ms_)) return "invoices are booked in the month after, which has not begun";
    item_code_ = setting(*reader_, set_item_code);
    if (item_code_.empty()) return "no item code is set, the tax authority's 19 digits of what is sold: tributary ledger set item_code CODE --id ID";
    return {};
  }

  // Why not, or empty.
  std::string reckon(const std::string& tenant, std::map<Key, LineSum> lines, Invoice& out) {
    out.no = ledger::period_text(period_) + "/" + tenant;
    out.period = period_;
    out.tenant = tenant;
    out.item_code = item_code_;
    out.seal_hash = seal_;
    out.made_ms = wall_ms_;
    if (later_.contains(tenant)) return "a later month of it is invoiced; months are invoiced in order";
    if (const auto last = last_.find(tenant); last != last_.end()) {
      out.opening_carry = last->second.closing_carry;
      if (last->second.lines.empty()) out.vat_accrued = last->second.vat_accrued;  // nothing of it was invoiced
      for (const InvoiceLine& line : last->second.carried) {
        LineSum& sum = lines[{line.model, line.price_version}];
        sum.charged += line.charged;
        sum.requests += line.requests;
        sum.tokens_in += line.tokens_in;
        sum.tokens_out += line.tokens_out;
        out.opening_carry -= line.charged;
      }
    }
    for (const auto& [key, sum] : lines) {
      const auto& [model, version] = key;
      const auto* const price = book_->price(model, version);
      if (price == nullptr || !price->tax)
        return "version " + std::to_string(version) + " of the price of " + model + " says no VAT rate, so nothing can be invoiced of it: publish a version with tax (0 % written out) and re-price the month's requests with it";
      out.vat_accrued += sum.vat;
      out.charged += sum.charged;
      InvoiceLine line{model, version, price->tax->percent, price->tax->inclusive, sum.charged, {}, {}, {}, sum.requests, sum.tokens_in, sum.tokens_out};
      if (!sum.charged.zero() || sum.requests > 0) out.lines.push_back(std::move(line));
    }
    const Amount total = floor_fen(out.opening_carry + out.charged);
    if (total.zero() || total.negative()) {  // less than a fen, or a credit: it goes to the next
      out.closing_carry = out.opening_carry + out.charged;
      out.opening_carry = out.closing_carry;
      out.charged = {};
      out.carried = std::move(out.lines);
      out.lines.clear();
      return {};
    }
    out.closing_carry = out.opening_carry + out.charged - total;
    round_lines(out, total);
    tax_lines(out);
    // What he owes at the month's end with this invoice, in whole fen; a prepaid customer owes nothing.
    const Amount owed = -(stands_[ledger::customer_account(tenant)] + customer_side(out));
    out.receivable = std::min(out.amount, floor_fen(std::max(owed, Amount{})));
    return {};
  }

  // What the true-up credits to the customer's account: VAT that accrued less VAT that was invoiced.
  static Amount customer_side(const Invoice& invoice) { return invoice.vat_accrued - invoice.tax; }

  Entry post(const Invoice& invoice) {
    ledger::Document document;
    document.kind = kind_invoice;
    document.attach = invoice_text(invoice);
    if (!adds_up(invoice)) return ended(Entry::Result::failed, "the invoice of " + invoice.tenant + " does not add up");
    const std::string customer = ledger::customer_account(invoice.tenant);
    const auto transfer = [&](ledger::Code code, std::vector<ledger::Leg> legs) {
      std::erase_if(legs, [](const ledger::Leg& leg) { return leg.amount.zero(); });
      if (legs.empty()) return;
      ledger::DocumentTransfer one;
      one.code = code;
      one.period = booked_in_;
      one.effective_at = ledger::period_end_ms(period_) - 1;
      one.doc = invoice.no;
      one.legs = std::move(legs);
      document.transfers.push_back(std::move(one));
    };
    if (!invoice.lines.empty()) {
      transfer(ledger::Code::vat_trueup, {{customer, -customer_side(invoice)}, {std::string(ledger::account_vat), invoice.vat_accrued}, {std::string(ledger::account_vat_invoiced), -invoice.tax}});
      transfer(ledger::Code::statement_lock, {{ledger::receivable_account(invoice.tenant), invoice.receivable}, {customer, -invoice.receivable}});
    }
    Entry out;
    out.id = "invoice:" + invoice.no;
    out.document = document;
    switch (ledger_.post(out.id, document, wall_ms_)) {
      case ledger::Posting::posted: out.result = Entry::Result::posted; return out;
      case ledger::Posting::repeated: out.result = Entry::Result::repeated; return out;
      case ledger::Posting::conflict:
      case ledger::Posting::failed: break;
    }
    out.why = ledger_.refusal(out.id);
    out.result = out.why.empty() ? Entry::Result::failed : Entry::Result::refused;
    if (out.why.empty()) out.why = "it is not known to be durable; make the invoices again";
    return out;
  }

  ledger::Ledger& ledger_;
  const Period period_;
  const std::int64_t wall_ms_;
  const std::shared_ptr<const ledger::Book> book_;
  std::unique_ptr<ledger::Reader> reader_;
  std::string why_, seal_, item_code_;
  Period booked_in_ = 0;
  std::set<std::string> made_, later_;
  std::map<std::string, Invoice> last_;
  std::map<std::string, Amount> stands_;
};

}  // namespace

std::vector<Entry> make_invoices(ledger::Ledger& ledger, Period period, std::int64_t wall_ms) {
  while (ledger.post_once()) {
  }
  return Invoicing(ledger, period, wall_ms).run();
}

}  // namespace trib::settlement
