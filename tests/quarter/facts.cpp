#include "tests/quarter/facts.h"

#include <algorithm>

#include "gateway/base/base.h"
#include "gateway/base/json_writer.h"
#include "gateway/ledger/ledger.h"

namespace trib::quarter {
namespace {

using config::ContractConfig;
using config::ShareBase;
using money::Amount;

constexpr std::int64_t day = 86'400'000;
constexpr unsigned models = 8, contracts = 14, vendors = 5, referrers = 4;

Amount fen(std::uint64_t count) { return Amount::pico(static_cast<money::int128>(count) * 10'000'000'000); }

config::Shares shares(Rng& rng, bool referrer) {
  config::Shares out;
  out.platform = static_cast<std::uint32_t>(rng.below(350'000));
  out.vendor = rng.below(4) == 0 ? 0 : static_cast<std::uint32_t>(rng.below(120'000));
  out.referrer = referrer ? static_cast<std::uint32_t>(1 + rng.below(50'000)) : 0;
  out.site = money::ppm_whole - out.platform - out.vendor - out.referrer;
  return out;
}

config::PriceConfig price(Rng& rng, unsigned model, std::int64_t from_ms) {
  const auto pico = [&](std::uint64_t most) { return money::Price::pico_per_unit(static_cast<std::int64_t>(1 + rng.below(most))); };
  config::PriceConfig out;
  out.from_ms = from_ms;
  out.input = pico(4'000'000);
  out.cached_input = pico(500'000);
  out.cache_write = pico(5'000'000);
  out.output = pico(16'000'000);
  out.reasoning = pico(16'000'000);
  constexpr std::uint32_t percents[] = {0, 6, 13};
  out.tax = config::PriceTax{percents[model % 3], model != models - 1};
  return out;
}

ContractConfig contract(Rng& rng, unsigned number, std::int64_t from_ms) {
  ContractConfig out;
  out.id = "contract-" + std::to_string(number);
  out.from_ms = from_ms;
  out.base = static_cast<ShareBase>(number % 4);
  const bool referrer = number % 3 != 0;
  if (referrer) {
    out.referrer_party = number == 1 ? "site-1" : "broker-" + std::to_string(number % referrers);  // the first brings himself
    if (number % 2 == 0) out.referrer_until_ms = january + static_cast<std::int64_t>(20 + rng.below(60)) * day;
    if (out.referrer_until_ms && *out.referrer_until_ms < from_ms) out.referrer_until_ms.reset();
  }
  out.shares = shares(rng, referrer);
  if (number % 5 == 1 || number % 5 == 3) {
    out.tiers.mode = number % 2 == 0 ? config::Tiers::Mode::whole : config::Tiers::Mode::graduated;
    Amount over;
    for (std::uint64_t steps = 1 + rng.below(3); steps-- > 0;) {
      over += fen(1 + rng.below(2'000));
      out.tiers.steps.push_back({over, shares(rng, referrer)});
    }
  }
  if (number % 4 == 2) out.guarantee = fen(rng.below(4'000));
  out.holdback.ppm = number % 6 == 0 ? 0 : static_cast<std::uint32_t>(rng.below(300'000));
  out.holdback.days = static_cast<std::uint32_t>(rng.below(3)) * 28;
  if (number % 7 == 2) out.min_payout = fen(rng.below(5'000));
  out.chargeback = static_cast<config::Chargeback>(number % 3);
  out.chargeback_cost = static_cast<config::ChargebackCost>(number / 3 % 3);
  out.penalties = {{"availability", 990'000, fen(1 + rng.below(30)), fen(1 + rng.below(60))}, {"availability", 900'000, fen(20), fen(50)}};
  out.policies.pay_loser = number % 2 == 1;
  if (number % 2 == 0) out.early_exit = config::EarlyExit{static_cast<config::EarlyExit::By>(rng.below(3)), static_cast<std::uint32_t>(1 + rng.below(900'000))};
  return out;
}

std::string shares_json(const config::Shares& s) {
  auto out = json::object();
  out.integer("platform", s.platform).integer("site", s.site).integer("vendor", s.vendor).integer("referrer", s.referrer);
  return out.close('}').take();
}

std::string pico_text(Amount amount) { return std::to_string(static_cast<std::int64_t>(amount.pico())); }

metering::TokenCounts some_tokens(Rng& rng) {
  return {rng.below(4'000), rng.below(3) ? 0 : rng.below(3'000), rng.below(5) ? 0 : rng.below(200), 1 + rng.below(900), rng.below(4) ? 0 : rng.below(400)};
}

}  // namespace

void Facts::line(const std::string& json) {
  std::fputs(json.c_str(), out_);
  std::fputc('\n', out_);
}

void Facts::price(const std::string& model, const config::PriceConfig& price) {
  auto out = json::object();
  out.text("fact", "price").text("model", model).integer("from_ms", *price.from_ms).integer("input", price.input.pico());
  out.integer("cached_input", price.cached_input.pico()).integer("cache_write", price.cache_write.pico());
  out.integer("output", price.output.pico()).integer("reasoning", price.reasoning.pico());
  if (price.tax) out.key("tax").open('{').integer("percent", price.tax->percent).boolean("inclusive", price.tax->inclusive).close('}');
  line(out.close('}').take());
}

void Facts::contract(const ContractConfig& c) {
  auto out = json::object();
  out.text("fact", "contract").text("id", c.id).integer("from_ms", c.from_ms).text("base", ledger::name(c.base));
  out.raw("shares", shares_json(c.shares)).text("referrer", c.referrer_party).maybe("referrer_until_ms", c.referrer_until_ms);
  out.text("tier_mode", c.tiers.mode == config::Tiers::Mode::whole ? "whole" : "graduated").key("tiers").open('[');
  for (const auto& step : c.tiers.steps) out.open('{').raw("over", pico_text(step.over)).raw("shares", shares_json(step.shares)).close('}');
  out.close(']').raw("guarantee", pico_text(c.guarantee)).integer("holdback_ppm", c.holdback.ppm).integer("holdback_days", c.holdback.days);
  out.raw("min_payout", pico_text(c.min_payout)).text("chargeback", ledger::name(c.chargeback)).text("chargeback_cost", ledger::name(c.chargeback_cost)).boolean("pay_loser", c.policies.pay_loser);
  out.maybe("to_ms", c.to_ms);
  if (c.early_exit) out.key("early_exit").open('{').text("by", ledger::name(c.early_exit->by)).integer("ppm", c.early_exit->ppm).close('}');
  out.key("penalties").open('[');
  for (const auto& one : c.penalties) {
    out.open('{').text("cause", one.cause).integer("below_ppm", one.below_ppm);
    out.raw("amount", pico_text(one.amount)).raw("cap", pico_text(one.cap)).close('}');
  }
  out.close(']');
  line(out.close('}').take());
}

void Facts::site(const Site& site) {
  auto out = json::object();
  out.text("fact", "site").text("id", site.id).text("vendor", site.vendor).text("contract", site.contract);
  line(out.close('}').take());
}

void Facts::request(const metering::Final& final) {
  auto out = json::object();
  out.text("fact", "request").text("id", final.admit.id.text()).text("tenant", final.admit.tenant).text("model", final.admit.model);
  out.integer("admit_ms", final.admit.wall_ms).integer("final_ms", final.wall_ms).text("outcome", metering::name(final.outcome));
  out.text("source", metering::name(final.source)).key("counts").open('[');
  const auto& c = final.counts;
  for (const auto n : {c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) out.integer(static_cast<std::int64_t>(n));
  out.close(']').key("attempts").open('[');
  for (std::size_t i = 0; i < final.attempts.size(); ++i) {
    const auto& result = final.results[i];
    out.open('{').integer("n", result.n).text("site", final.attempts[i].site).integer("wall_ms", final.attempts[i].wall_ms);
    out.text("fault", result.fault).text("side", result.side).integer("delivered", static_cast<std::int64_t>(result.delivered));
    out.integer("pieces", static_cast<std::int64_t>(result.pieces)).close('}');
  }
  line(out.close(']').close('}').take());
}

Terms make_terms(Rng& rng, unsigned sites, unsigned tenants) {
  Terms out;
  for (unsigned m = 0; m < models; ++m) {
    config::ModelConfig model;
    model.id = "model-" + std::to_string(m);
    model.prices.push_back(price(rng, m, january));
    for (std::uint64_t changes = rng.below(4); changes-- > 0;)  // at any second of the quarter
      model.prices.push_back(price(rng, m, january + static_cast<std::int64_t>(1 + rng.below(90 * 86'400)) * 1000));
    std::sort(model.prices.begin(), model.prices.end(), [](const auto& a, const auto& b) { return a.from_ms < b.from_ms; });
    out.config.models.push_back(std::move(model));
  }
  for (unsigned c = 0; c < contracts; ++c) {
    out.config.contracts.push_back(contract(rng, c, january));
    if (c % 2 == 0) out.config.contracts.push_back(contract(rng, c, january + static_cast<std::int64_t>(1 + rng.below(85 * 86'400)) * 1000));
    if (c % 3 != 0 || c % 4 == 2) out.config.contracts.back().to_ms = january + static_cast<std::int64_t>(130 + rng.below(200)) * day;  // a term that ends later
  }
  for (unsigned s = 0; s < sites; ++s)
    out.sites.push_back({"site-" + std::to_string(s), s % 9 == 4 ? std::string() : "vendor-" + std::to_string(rng.below(vendors)), "contract-" + std::to_string(s % contracts)});
  for (unsigned t = 0; t < tenants; ++t) out.tenants.push_back("tenant-" + std::to_string(t));
  return out;
}

metering::Final make_request(Rng& rng, const Terms& terms, std::int64_t ends_ms) {
  metering::Final out;
  out.wall_ms = ends_ms;
  out.admit.wall_ms = std::max(january, ends_ms - static_cast<std::int64_t>(rng.below(600'000)));
  out.admit.id = mint_request_id(out.admit.wall_ms, 0, rng);
  out.admit.tenant = terms.tenants[rng.below(rng.below(4) == 0 ? 2 : terms.tenants.size())];  // two have many
  out.admit.operation = "chat";
  out.admit.hold = money::Amount::pico(1'000'000'000'000'000'000);  // no overruns
  out.status = 200;
  out.source = rng.below(10) == 0 ? metering::CountSource::estimate : metering::CountSource::exact;
  out.counts = some_tokens(rng);
  std::uint64_t kind = rng.below(40);
  std::uint64_t attempts = rng.below(5) ? 1 : 2 + rng.below(3);
  if (kind <= 1) attempts = 2;
  std::uint64_t left = out.counts.output + out.counts.reasoning;
  for (std::uint64_t i = 0; i < attempts; ++i) {
    const Site& site = terms.sites[rng.below(terms.sites.size())];
    const bool last = i + 1 == attempts;
    metering::Attempt attempt;
    attempt.id = out.admit.id;
    attempt.n = static_cast<std::uint16_t>(i + 1);
    attempt.wall_ms = out.admit.wall_ms + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(ends_ms - out.admit.wall_ms) + 1));
    attempt.site = site.id;
    attempt.engine = "127.0.0.1:9000";
    attempt.vendor = site.vendor;
    attempt.contract = site.contract;
    metering::AttemptResult result;
    result.n = attempt.n;
    result.fault = last ? "none" : "reset";
    result.side = last ? "none" : "site";
    result.delivered = last ? left : rng.below(2) ? rng.below(left) : 0;
    left -= result.delivered;
    result.pieces = result.delivered;
    result.bytes = result.delivered * 4;
    out.attempts.push_back(std::move(attempt));
    out.results.push_back(std::move(result));
  }
  out.admit.model = "model-" + std::to_string(rng.below(models));
  if (kind == 0) {  // a hedged pair: the second spoke first
    out.results[0] = {1, std::string(name(FaultKind::outrun)), "none", 0, 0, 0, {}};
    out.results[1].delivered = out.results[1].pieces = out.counts.output + out.counts.reasoning;
  } else if (kind == 2) {  // the customer left before a word came: input alone
    out.outcome = metering::Outcome::cancelled;
    out.counts.output = out.counts.reasoning = 0;
    for (auto& result : out.results) result.delivered = result.pieces = result.bytes = 0;
    for (auto& result : out.results) result.fault = "reset";
    out.results.back().fault = "client_gone";
    out.results.back().side = name(Side::client);
    if (out.counts.total() == 0) out.counts.input = 1;
    return out;
  } else if (kind == 3) {  // nothing came of it
    out.counts = {};
    out.source = metering::CountSource::none;
    out.outcome = metering::Outcome::failed;
    for (auto& result : out.results) result = {result.n, "reset", "site", 0, 0, 0, {}};
    return out;
  }
  out.outcome = kind == 4 ? metering::Outcome::partial : kind == 5 ? metering::Outcome::recovered : metering::Outcome::completed;
  return out;
}

}  // namespace trib::quarter
