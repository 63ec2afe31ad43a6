// Requests of a time by another published price: exact for each, its difference summed by party and contract.
#include <algorithm>
#include <charconv>
#include <set>

#include "gateway/settlement/desk_call.h"

namespace trib::settlement {
namespace {

// What the meter said, as far as the row keeps it, which is all that rating asks for.
metering::Final final_of(const ledger::RequestRow& request, std::uint32_t price_version) {
  const ledger::UsageRow& row = request.row;
  metering::Final out;
  out.admit.id = row.id;
  out.admit.wall_ms = row.admit_ms;
  out.admit.tenant = row.tenant;
  out.admit.model = row.model;
  out.admit.operation = row.operation;
  out.admit.price_version = price_version;
  out.wall_ms = row.final_ms;
  out.outcome = row.outcome;
  out.status = row.status;
  out.counts = row.counts;
  out.source = row.source;
  for (const ledger::AttemptRow& attempt : request.attempts) {
    out.attempts.push_back(attempt.sent);
    out.results.push_back(attempt.result);
  }
  return out;
}

std::int64_t fact_number(const Attached& attached, const char* name) {
  const auto found = attached.facts.find(name);
  std::int64_t out = 0;
  if (found != attached.facts.end()) std::from_chars(found->second.data(), found->second.data() + found->second.size(), out);
  return out;
}

struct Range {
  std::string tenant;  // empty: all
  std::int64_t from_ms = 0, to_ms = 0;
  std::uint32_t version = 0;
  metering::Lsn lsn = 0;  // of its document

  explicit Range(const Link& link)
      : from_ms(fact_number(link.attached, "from_ms")),
        to_ms(fact_number(link.attached, "to_ms")),
        version(static_cast<std::uint32_t>(fact_number(link.attached, "version"))),
        lsn(link.row.lsn) {
    if (const auto found = link.attached.facts.find("tenant"); found != link.attached.facts.end()) tenant = found->second;
  }
  Range(std::string of, std::int64_t from, std::int64_t to) : tenant(std::move(of)), from_ms(from), to_ms(to) {}
  bool holds(const ledger::UsageRow& row) const {
    return row.admit_ms >= from_ms && row.admit_ms < to_ms && (tenant.empty() || tenant == row.tenant);
  }
};

using CustomerKey = std::tuple<std::string, std::string, std::uint32_t>;

struct Difference {
  SupplySum supply;
  std::map<CustomerKey, CustomerChange> customers;
  struct Month {
    std::map<std::string, Amount> legs;  // by account
    std::int64_t last_ms = 0;
  };
  std::map<Period, Month> months;  // of the requests' ends
  std::uint64_t requests = 0, skipped = 0;

  void add(const ledger::RequestRow& request, const std::vector<Part>& parts, const ledger::Book& book, std::uint32_t price_version, bool taken_back) {
    const ledger::UsageRow& row = request.row;
    Month& month = months[ledger::period_of(row.final_ms)];
    month.last_ms = std::max(month.last_ms, row.final_ms);
    CustomerChange& customer = customers[{row.tenant, row.model, price_version}];
    for (const Part& part : parts) {
      const Amount amount = taken_back ? -part.amount : part.amount;
      month.legs[ledger::party_account(part.party)] -= amount;
      month.legs[ledger::customer_account(row.tenant)] += amount;
      customer.gross += amount;
      if (part.party == "vat") customer.vat += amount;
    }
    supply.add(supply_of(request, parts, book, taken_back));
  }
};

}  // namespace

std::vector<Part> DeskCall::rerated(const ledger::RequestRow& request, std::uint32_t price_version) {
  auto rated = ledger::rate(final_of(request, price_version), *book_);
  if (!rated.quarantine.empty()) refused("request " + request.row.id.text() + " cannot be rated by version " + std::to_string(price_version) + ": " + rated.quarantine);
  return std::move(rated.parts);
}

// As the last re-price that holds it has rated it; one that came after a document about it left it out.
std::vector<Part> DeskCall::parts_now(const ledger::RequestRow& request, const std::vector<const Link*>& documents, std::uint32_t& price_version) {
  price_version = request.row.price_version;
  std::optional<metering::Lsn> first;  // its oldest document
  for (const Link* const link : documents) first = std::min(first.value_or(link->row.lsn), link->row.lsn);
  const std::string prefix = "reprice:" + request.row.model;
  for (std::uint32_t n = 1;; ++n) {
    auto row = reader_->command(prefix + ":" + std::to_string(n));
    if (!row) break;
    if (row->result != "applied") continue;
    auto document = ledger::read_document(row->body);
    auto attached = document ? read_attached(document->attach) : std::nullopt;
    if (!attached) end(Entry::Result::failed, "command " + row->id + " cannot be read");
    const Range range(Link{std::move(*row), std::move(*document), std::move(*attached)});
    if (range.holds(request.row) && request.row.lsn < range.lsn && (!first || range.lsn < *first)) price_version = range.version;
  }
  sound();
  return price_version == request.row.price_version ? request.parts : rerated(request, price_version);
}

Entry DeskCall::reprice() {
  const std::string& model = arg("model");
  const auto from = config::parse_date(arg("from")), to = config::parse_date(arg("to"));
  if (!from || !to || *from >= *to) wrong("\"from\" and \"to\" must be dates or times, `to` the later one; it is not included");
  std::uint32_t version = 0;
  const std::string& text = arg("version");
  std::from_chars(text.data(), text.data() + text.size(), version);
  if (book_->price(model, version) == nullptr) wrong("there is no version " + text + " of the price of " + model + "; tributary price show " + model);
  std::vector<Range> before;
  for (const Link& link : chain("reprice:" + model)) before.emplace_back(link);

  std::set<std::string> touched;  // requests with documents of their own
  desk_documents(*reader_, [&](const ledger::CommandRow& row, const Document&, const Attached& attached) {
    if (row.id.rfind("request:", 0) == 0) touched.insert(row.id.substr(8, 32));
    touched.insert(attached.requests.begin(), attached.requests.end());
    if (const auto part_of = attached.facts.find("part_of"); part_of != attached.facts.end()) touched.insert(part_of->second);
    return true;
  });
  const Range range(arg("tenant"), *from, *to);
  Difference sums;
  std::optional<Period> booked;
  std::string why;
  // Late requests are booked after their month, none before it.
  for (Period period = ledger::period_of(*from); period <= ledger::period_of(wall_ms_); period = ledger::next_period(period)) {
    reader_->usage(period, [&](const ledger::RequestRow& request) {
      const ledger::UsageRow& row = request.row;
      if (row.model != model || row.state != ledger::State::billed || !range.holds(row)) return true;
      if (touched.contains(row.id.text())) {
        ++sums.skipped;
        return true;
      }
      std::uint32_t now = row.price_version;
      for (const Range& one : before)
        if (one.holds(row) && row.lsn < one.lsn) now = one.version;
      if (now == version) return true;
      const Period where = booking(row.period);
      if (booked && *booked != where) {
        why = "requests of this time are booked in " + ledger::period_text(*booked) + " and in " + ledger::period_text(where) + "; divide it at " + ledger::time_text(ledger::period_begin_ms(where));
        return false;
      }
      booked = where;
      sums.add(request, now == row.price_version ? request.parts : rerated(request, now), *book_, now, true);
      sums.add(request, rerated(request, version), *book_, version, false);
      ++sums.requests;
      return true;
    });
    sound();
  }
  if (!why.empty()) refused(why);
  if (!booked) refused("no request of that time is to be re-priced; " + std::to_string(sums.skipped) + " have documents of their own");
  if (sums.supply.size() > attached_list_max || sums.customers.size() > attached_list_max) refused("too many parties and customers for one document; narrow the time, or name a tenant");

  Draft made = draft(kind_reprice, *booked);
  auto& facts = made.attached.facts;
  facts["model"] = model;
  facts["tenant"] = range.tenant;
  facts["version"] = std::to_string(version);
  facts["from_ms"] = std::to_string(range.from_ms);
  facts["to_ms"] = std::to_string(range.to_ms);
  facts["requests"] = std::to_string(sums.requests);
  facts["skipped"] = std::to_string(sums.skipped);
  made.attached.supply = sums.supply.take();
  for (auto& [key, change] : sums.customers) {
    std::tie(change.tenant, change.model, change.price_version) = key;
    made.attached.customers.push_back(std::move(change));
  }
  made.document.transfers.reserve(sums.months.size());
  for (const auto& [month, sum] : sums.months) {
    DocumentTransfer& one = made.document.transfers.emplace_back();
    one.code = Code::reprice;
    one.period = *booked;
    one.effective_at = sum.last_ms;
    for (const auto& [account, amount] : sum.legs) one.legs.push_back({account, amount});
  }
  return post(next_id("reprice:" + model), std::move(made));
}

}  // namespace trib::settlement
