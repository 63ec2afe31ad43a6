#include "gateway/settlement/booked.h"

#include <algorithm>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/desk.h"

namespace trib::settlement {
namespace {

using money::Amount;

bool read_amount(json::Cursor& in, Amount& out) {
  std::string text;
  if (!in.read_string(text)) return false;
  const auto amount = Amount::parse(text);
  if (amount) out = *amount;
  return amount.has_value();
}

template <class Number>
bool read_number(json::Cursor& in, Number& out) {
  std::int64_t value = 0;
  if (!in.read_integer(value) || value < 0 || !std::in_range<Number>(value)) return false;
  out = static_cast<Number>(value);
  return true;
}

// An array whose elements are read one after the other by `read`, each a bool.
template <class... Read>
bool read_tuple(json::Cursor& in, Read&&... read) {
  return in.enter_array() && ((in.next_element() && read()) && ...) && !in.next_element() && in.ok();
}

template <class Item, class Read>
bool read_list(json::Cursor& in, std::vector<Item>& out, const Read& read) {
  if (!in.enter_array()) return false;
  while (in.next_element())
    if (out.size() == attached_list_max || !read(out.emplace_back())) return false;
  return in.ok();
}

bool read_facts(json::Cursor& in, std::map<std::string, std::string>& out) {
  std::string_view key;
  if (!in.enter_object()) return false;
  while (in.next_key(key)) {
    std::string name(key);
    if (!in.read_string(out[name])) return false;
  }
  return in.ok();
}

bool read_parts(json::Cursor& in, std::map<std::string, Amount>& out) {
  std::string_view key;
  if (!in.enter_object()) return false;
  while (in.next_key(key)) {
    std::string name(key);
    if (!read_amount(in, out[name])) return false;
  }
  return in.ok();
}

}  // namespace

std::string attached_text(const Attached& attached) {
  json::Writer out;
  out.open('{').text("asked", attached.asked).integer("period", attached.period);
  out.key("facts").open('{');
  for (const auto& [name, value] : attached.facts) out.text(name, value);
  out.close('}').key("parts").open('[');
  for (const auto& one : attached.parts)
    out.open('[').integer(one.attempt).text(one.party).text(one.contract).integer(one.contract_version).text(one.amount.text()).close(']');
  out.close(']').key("supply").open('[');
  for (const auto& one : attached.supply) {
    out.open('[').text(one.site).text(one.contract).integer(one.version).text(one.gross.text()).open('{');
    for (const auto& [party, amount] : one.parts) out.text(party, amount.text());
    out.close('}').boolean(one.referred).boolean(one.shared).close(']');
  }
  out.close(']').key("customers").open('[');
  for (const auto& one : attached.customers)
    out.open('[').text(one.tenant).text(one.model).integer(one.price_version).text(one.gross.text()).text(one.vat.text()).close(']');
  out.close(']');
  if (!attached.requests.empty()) {
    out.key("requests").open('[');
    for (const auto& one : attached.requests) out.text(one);
    out.close(']');
  }
  return out.close('}').take();
}

std::optional<Attached> read_attached(const std::string& text) {
  json::Cursor in(text, {.depth = 5, .unique_keys = true});
  Attached out;
  if (text.empty() || !in.enter_object()) return std::nullopt;
  std::string_view key;
  const auto string = [&](std::string& to) { return [&in, &to] { return in.read_string(to); }; };
  const auto amount = [&](Amount& to) { return [&in, &to] { return read_amount(in, to); }; };
  const auto number = [&](auto& to) { return [&in, &to] { return read_number(in, to); }; };
  while (in.next_key(key)) {
    bool fine = false;
    if (key == "asked") {
      fine = in.read_string(out.asked);
    } else if (key == "period") {
      fine = read_number(in, out.period);
    } else if (key == "facts") {
      fine = read_facts(in, out.facts);
    } else if (key == "parts") {
      fine = read_list(in, out.parts, [&](ledger::Part& one) {
        return read_tuple(in, number(one.attempt), string(one.party), string(one.contract), number(one.contract_version), amount(one.amount));
      });
    } else if (key == "supply") {
      fine = read_list(in, out.supply, [&](SupplyChange& one) {
        return read_tuple(in, string(one.site), string(one.contract), number(one.version), amount(one.gross), [&] { return read_parts(in, one.parts); },
                          [&] { return in.read_bool(one.referred); }, [&] { return in.read_bool(one.shared); });
      });
    } else if (key == "customers") {
      fine = read_list(in, out.customers, [&](CustomerChange& one) {
        return read_tuple(in, string(one.tenant), string(one.model), number(one.price_version), amount(one.gross), amount(one.vat));
      });
    } else if (key == "requests") {
      fine = read_list(in, out.requests, [&](std::string& one) { return in.read_string(one); });
    }
    if (!fine) return std::nullopt;
  }
  if (!in.finish() || out.asked.empty()) return std::nullopt;
  return out;
}

std::vector<SupplyChange> supply_of(const ledger::RequestRow& request, const std::vector<ledger::Part>& parts, const ledger::Book& book,
                                    bool taken_back) {
  std::map<std::uint16_t, SupplyChange> by_attempt;
  for (const ledger::Part& part : parts) {
    const auto attempt = std::find_if(request.attempts.begin(), request.attempts.end(), [&](const auto& a) { return a.sent.n == part.attempt; });
    if (attempt == request.attempts.end()) continue;
    const Amount amount = taken_back ? -part.amount : part.amount;
    SupplyChange& change = by_attempt[part.attempt];
    change.site = attempt->sent.site;
    change.contract = part.contract;
    change.version = part.contract_version;
    change.referred = key_of(*attempt, part, book.contract(part.contract, part.contract_version), request.row.admit_ms).referred;
    change.shared = attempt->rated;
    change.gross += amount;
    change.parts[part.party] += amount;
  }
  std::vector<SupplyChange> out;
  for (auto& [attempt, change] : by_attempt) out.push_back(std::move(change));
  return out;
}

void SupplySum::add(const std::vector<SupplyChange>& changes) {
  for (const SupplyChange& change : changes) {
    std::vector<std::string> parties;
    for (const auto& [party, amount] : change.parts) parties.push_back(party);
    SupplyChange& sum = sums_[{change.site, change.contract, change.version, change.referred, change.shared, std::move(parties)}];
    sum.gross += change.gross;
    for (const auto& [party, amount] : change.parts) sum.parts[party] += amount;
  }
}

std::vector<SupplyChange> SupplySum::take() {
  std::vector<SupplyChange> out;
  for (auto& [key, sum] : sums_) {
    std::tie(sum.site, sum.contract, sum.version, sum.referred, sum.shared, std::ignore) = key;
    out.push_back(std::move(sum));
  }
  sums_.clear();
  return out;
}

bool desk_documents(ledger::Reader& reader, const std::function<bool(const ledger::CommandRow&, const ledger::Document&, const Attached&)>& visit) {
  return reader.commands("document", [&](const ledger::CommandRow& row) {
    const auto document = ledger::read_document(row.body);
    const auto attached = document ? read_attached(document->attach) : std::nullopt;
    return !attached || visit(row, *document, *attached);
  });
}

Amount disputed(ledger::Reader& reader, ledger::Period period) {
  Amount out;
  desk_documents(reader, [&](const ledger::CommandRow&, const ledger::Document& document, const Attached& attached) {
    if (attached.period > period) return true;
    if (document.kind != kind_dispute && document.kind != kind_upheld && document.kind != kind_rejected && document.kind != kind_chargeback) return true;
    for (const auto& transfer : document.transfers)
      for (const auto& leg : transfer.legs)
        if (leg.account == ledger::account_disputed) out -= leg.amount;
    return true;
  });
  return out;
}

void add(const ledger::Document& document, const Attached& attached, const ledger::Book& book, Turnover& to) {
  const auto undone = attached.facts.find("code");  // a whole transfer of that code is reversed
  if (document.kind == kind_fee || (undone != attached.facts.end() && undone->second == "54")) {
    for (const auto& transfer : document.transfers)
      for (const auto& leg : transfer.legs)
        if (leg.account == ledger::account_fees) to.fees += leg.amount;
  }
  for (const SupplyChange& change : attached.supply) {
    const auto* const contract = book.contract(change.contract, change.version);
    const auto vat = change.parts.find("vat");
    ContractUse& use = to.contracts[{change.site, change.contract, change.version, change.referred}];
    for (const auto& [name, amount] : change.parts) {
      add(use, contract, name, amount, change.shared);
      PartyUse& party = to.parties[name];
      (document.kind == kind_reprice ? party.gross : party.refunds) += change.gross;
      if (name == "vat") continue;
      if (net_of_vat(contract) && vat != change.parts.end()) party.vat += vat->second;
    }
  }
}

bool add_booked(ledger::Reader& reader, const ledger::Book& book, ledger::Period period, Turnover& out) {
  return desk_documents(reader, [&](const ledger::CommandRow&, const ledger::Document& document, const Attached& attached) {
    if (attached.period == period) add(document, attached, book, out);
    return true;
  });
}

}  // namespace trib::settlement
