#include "tests/quarter/people.h"

#include <algorithm>

namespace trib::quarter {

using settlement::Order;

void People::saw(const metering::Final& final) { served_.push_back({final.admit.id.text(), final.admit.tenant}); }

void People::told(const Order& order, bool posted) {
  if (!posted) return;
  const auto request = order.args.find("request");
  if (order.what == "dispute") disputed_.push_back(request->second);
  if (order.what == "resolve" || order.what == "chargeback") std::erase(disputed_, request->second);
}

void People::paid(const std::string& tenant, const std::string& topup) { payments_.emplace_back(tenant, topup); }

std::string People::amount(std::uint64_t pico_max) { return money::Amount::pico(1 + static_cast<money::int128>(rng_.below(pico_max))).text(); }

std::string People::fen(std::uint64_t fen_max) {
  return money::Amount::pico((1 + static_cast<money::int128>(rng_.below(fen_max))) * 10'000'000'000).text();
}

Order People::next(std::int64_t wall_ms) {
  ++orders_;
  const auto kind = rng_.below(22);
  Order out = kind < 11 ? about_request() : kind < 15 ? about_party(wall_ms) : kind < 19 ? about_customer() : kind < 21 ? chargeback_payment() : reprice(wall_ms);
  if (out.what != "reprice" && out.what != "resolve" && out.what != "early-exit") out.args["id"] = std::to_string(orders_);
  out.args["evidence"] = "document " + std::to_string(orders_);
  if (out.what == "manual") out.args["evidence"] = std::string(64, 'a');
  if (out.what == "dispute") out.args["reason"] = "the answer was cut";
  if (out.what == "suspense") out.args["reason"] = "the device was identified";
  return out;
}

Order People::about_request() {
  const Served& one = served_[rng_.below(8) == 0 ? rng_.below(served_.size()) : served_.size() - 1 - rng_.below(std::min<std::size_t>(served_.size(), 60))];
  switch (rng_.below(8)) {
    case 0: return {"reverse", {{"request", one.id}}};
    case 1:
    case 2: return {"reverse", {{"request", one.id}, {"amount", amount(3'000'000'000)}}};
    case 3: return {"dispute", {{"request", one.id}}};
    case 4: {
      const std::string id = disputed_.empty() ? one.id : disputed_[rng_.below(disputed_.size())];
      return {"resolve", {{"request", id}, {"for", rng_.below(2) ? "customer" : "supplier"}}};
    }
    case 5: return {"goodwill", {{"tenant", one.tenant}, {"amount", amount(4'000'000'000)}, {"request", one.id}}};
    case 6: return {"chargeback", {{"request", disputed_.empty() || rng_.below(2) ? one.id : disputed_[0]}}};
    default: return {"chargeback", {{"request", one.id}, {"cost", amount(50'000'000'000)}}};
  }
}

Order People::about_party(std::int64_t wall_ms) {
  const Site& site = terms_.sites[rng_.below(terms_.sites.size())];
  const std::string party = "site:" + site.id;
  switch (rng_.below(8)) {
    case 0: return {"forfeit", {{"party", party}, {"amount", amount(2'000'000'000)}, {"from", rng_.below(2) ? "reserve" : "payable"}}};
    case 2: return {"suspense", {{"from", "L250/vendor"}, {"to", "L220/vendor-" + std::to_string(rng_.below(3))}, {"amount", amount(900'000'000)}}};
    case 3:
    case 4: {
      Order out{"early-exit", {{"contract", site.contract}, {"site", site.id}, {"by", rng_.below(2) ? "site" : "platform"}}};
      if (rng_.below(3) == 0) out.args["at"] = ledger::time_text(std::max(january, wall_ms - static_cast<std::int64_t>(rng_.below(40 * 86'400'000ULL))));
      return out;
    }
    case 1: return {"clawback", {{"party", party}, {"amount", amount(500'000'000)}, {"by", rng_.below(2) ? "bank" : "payable"}}};
    default:
      return {"penalty", {{"contract", site.contract}, {"site", site.id}, {"cause", "availability"}, {"measured_ppm", std::to_string(850'000 + rng_.below(150'000))}}};
  }
}

Order People::about_customer() {
  const std::string& tenant = terms_.tenants[rng_.below(terms_.tenants.size())];
  switch (rng_.below(6)) {
    case 0: return {"goodwill", {{"tenant", tenant}, {"amount", amount(200'000'000'000)}}};
    case 1: return {"refund", {{"tenant", tenant}, {"amount", fen(3)}}};
    case 2: return {"payment", {{"tenant", tenant}, {"amount", fen(2)}}};
    case 3: return {"manual", {{"legs", "E400=0.25,L210/" + terms_.sites[0].id + "=-0.25"}, {"made_by", "ann"}, {"approved_by", "bo"}}};
    default: return {"fee", {{"amount", amount(300'000'000'000)}}};
  }
}

// A third of them whole: what is left of the balance and of all requests, or refused where there is less.
Order People::chargeback_payment() {
  std::size_t i = rng_.below(payments_.size());
  if (rng_.below(2)) {  // the last one of somebody who has many requests
    for (i = payments_.size() - 1; i > 0 && payments_[i].first != terms_.tenants[0] && payments_[i].first != terms_.tenants[1];) --i;
  }
  const auto& [tenant, topup] = payments_[i];
  Order out{"chargeback-payment", {{"tenant", tenant}, {"payment", topup}}};
  const auto kind = rng_.below(3);
  if (kind > 0) out.args["amount"] = amount(kind == 1 ? 200'000'000'000 : 20'000'000'000'000);
  return out;
}

// Some hours of a model's requests by any of its prices; early in a month, of the month before as well.
Order People::reprice(std::int64_t wall_ms) {
  const auto& model = terms_.config.models[rng_.below(terms_.config.models.size())];
  const std::int64_t to = wall_ms - static_cast<std::int64_t>(rng_.below(9 * 86'400'000));
  const std::int64_t from = to - static_cast<std::int64_t>(1 + rng_.below(9 * 86'400'000));
  return {"reprice", {{"model", model.id}, {"from", ledger::time_text(from)}, {"to", ledger::time_text(to)}, {"version", std::to_string(1 + rng_.below(model.prices.size()))}}};
}

}  // namespace trib::quarter
