#include "gateway/ledger/contract_terms.h"

#include <array>
#include <limits>

#include "gateway/ledger/period.h"
#include "gateway/base/json_writer.h"
#include "gateway/ledger/amount_json.h"

namespace trib::ledger {
namespace {

using config::ContractTerms;

// In the order of their enums.
constexpr std::array<std::string_view, 4> base_names{"gross", "net_of_refunds", "net_of_vat", "net_of_fees"};
constexpr std::array<std::string_view, 2> mode_names{"graduated", "whole"};
constexpr std::array<std::string_view, 3> chargeback_names{"by_split", "platform", "site"};
constexpr std::array<std::string_view, 3> cost_names{"platform", "site", "by_split"};
constexpr std::array<std::string_view, 3> by_names{"either", "platform", "site"};
constexpr std::array<std::string_view, 3> on_cancel_names{"received", "delivered", "acknowledged"};
constexpr std::array<std::string_view, 3> on_break_names{"output_only", "all", "nothing"};
constexpr std::array<std::string_view, 2> zero_output_names{"nothing", "input"};
constexpr std::array<std::string_view, 2> meters_names{"lower", "gateway"};

template <class Enum, std::size_t N>
std::string_view word(const std::array<std::string_view, N>& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

// "2026-01-01T00:00:00+08:00"; whole seconds, as the first format had it.
std::string quoted_date(std::optional<std::int64_t> ms) {
  if (!ms) return "null";
  std::string text = time_text(*ms);
  text.erase(19, 4);
  return '"' + text + '"';
}

// ---- reading: every function takes one value at the cursor; an error stays in the cursor or is told

template <class Enum, std::size_t N>
bool read_word(json::Cursor& in, const std::array<std::string_view, N>& names, Enum& out) {
  std::string text;
  if (!in.read_string(text)) return false;
  for (std::size_t i = 0; i < N; ++i) {
    if (text != names[i]) continue;
    out = static_cast<Enum>(i);
    return true;
  }
  return false;
}

bool read_count(json::Cursor& in, std::uint32_t& out) {
  std::int64_t value = 0;
  if (!in.read_integer(value) || value < 0 || value > std::numeric_limits<std::uint32_t>::max()) return false;
  out = static_cast<std::uint32_t>(value);
  return true;
}

bool read_positive(json::Cursor& in, money::Amount& out) { return read_amount(in, out) && !out.negative(); }  // or zero

// Calls `field(key)` for each member; what it does not know it skips. False once anything is wrong.
template <class Field>
bool read_members(json::Cursor& in, Field&& field) {
  if (!in.enter_object()) return false;
  std::string_view key;
  while (in.next_key(key)) {
    if (!field(std::string(key))) return false;
  }
  return in.ok();
}

template <class Element>
bool read_list(json::Cursor& in, Element&& element) {
  if (!in.enter_array()) return false;
  while (in.next_element()) {
    if (!element()) return false;
  }
  return in.ok();
}

bool skip(json::Cursor& in) { return !in.skip().empty(); }

bool read_shares(json::Cursor& in, config::Shares& out) {
  return read_members(in, [&](const std::string& key) {
    if (key == "platform") return read_count(in, out.platform);
    if (key == "site") return read_count(in, out.site);
    if (key == "vendor") return read_count(in, out.vendor);
    if (key == "referrer") return read_count(in, out.referrer);
    return skip(in);
  });
}

bool read_tiers(json::Cursor& in, config::Tiers& out) {
  return read_members(in, [&](const std::string& key) {
    if (key == "mode") return read_word(in, mode_names, out.mode);
    if (key != "steps") return skip(in);
    return read_list(in, [&] {
      auto& step = out.steps.emplace_back();
      return read_members(in, [&](const std::string& field) {
        if (field == "over") return read_positive(in, step.over);
        return field == "shares" ? read_shares(in, step.shares) : skip(in);
      });
    });
  });
}

bool read_penalties(json::Cursor& in, std::vector<config::Penalty>& out) {
  return read_list(in, [&] {
    auto& penalty = out.emplace_back();
    return read_members(in, [&](const std::string& key) {
      if (key == "cause") return in.read_string(penalty.cause);
      if (key == "below_ppm") return read_count(in, penalty.below_ppm);
      if (key == "amount") return read_positive(in, penalty.amount);
      return key == "cap" ? read_positive(in, penalty.cap) : skip(in);
    });
  });
}

bool read_policies(json::Cursor& in, config::Policies& out) {
  return read_members(in, [&](const std::string& key) {
    if (key == "on_cancel") return read_word(in, on_cancel_names, out.on_cancel);
    if (key == "on_break") return read_word(in, on_break_names, out.on_break);
    if (key == "zero_output") return read_word(in, zero_output_names, out.zero_output);
    if (key == "pay_loser") return in.read_bool(out.pay_loser);
    if (key == "meters") return read_word(in, meters_names, out.meters);
    return key == "show_gross" ? in.read_bool(out.show_gross) : skip(in);
  });
}

bool read_term(json::Cursor& in, const std::string& key, ContractTerms& out) {
  if (key == "base") return read_word(in, base_names, out.base);
  if (key == "shares") return read_shares(in, out.shares);
  if (key == "tiers") return read_tiers(in, out.tiers);
  if (key == "guarantee") return read_positive(in, out.guarantee);
  if (key == "min_payout") return read_positive(in, out.min_payout);
  if (key == "chargeback") return read_word(in, chargeback_names, out.chargeback);
  if (key == "chargeback_cost") return read_word(in, cost_names, out.chargeback_cost);
  if (key == "penalties") return read_penalties(in, out.penalties);
  if (key == "policies") return read_policies(in, out.policies);
  if (key == "holdback") {
    return read_members(in, [&](const std::string& field) {
      if (field == "ppm") return read_count(in, out.holdback.ppm);
      return field == "days" ? read_count(in, out.holdback.days) : skip(in);
    });
  }
  if (key == "early_exit") {
    auto& exit = out.early_exit.emplace();
    return read_members(in, [&](const std::string& field) {
      if (field == "by") return read_word(in, by_names, exit.by);
      return field == "ppm" ? read_count(in, exit.ppm) : skip(in);
    });
  }
  if (key == "index") {
    auto& index = out.index.emplace();
    return read_members(in, [&](const std::string& field) {
      if (field == "name") return in.read_string(index.name);
      if (field == "reference") return read_positive(in, index.reference);
      return field == "alarm_ppm" ? read_count(in, index.alarm_ppm) : skip(in);
    });
  }
  return skip(in);  // id, dates and referrer stand beside this text
}

}  // namespace

std::string_view name(config::ShareBase base) { return word(base_names, base); }
std::string_view name(config::Chargeback chargeback) { return word(chargeback_names, chargeback); }
std::string_view name(config::ChargebackCost cost) { return word(cost_names, cost); }
std::string_view name(config::EarlyExit::By by) { return word(by_names, by); }

std::string shares_json(const config::Shares& shares) {
  auto out = json::object();
  out.integer("platform", shares.platform).integer("referrer", shares.referrer);
  return out.integer("site", shares.site).integer("vendor", shares.vendor).close('}').take();
}

std::string tiers_json(const config::Tiers& tiers) {
  std::string steps;
  for (const auto& step : tiers.steps) {
    steps += steps.empty() ? "[" : ",";
    auto out = json::object();
    steps += out.text("over", step.over.text()).raw("shares", shares_json(step.shares)).close('}').take();
  }
  auto out = json::object();
  return out.text("mode", word(mode_names, tiers.mode)).raw("steps", steps + "]").close('}').take();
}

std::string penalties_json(const std::vector<config::Penalty>& penalties) {
  std::string list = "[";
  for (const auto& penalty : penalties) {
    list += list.size() > 1 ? "," : "";
    auto out = json::object();
    out.text("amount", penalty.amount.text()).integer("below_ppm", penalty.below_ppm);
    list += out.text("cap", penalty.cap.text()).text("cause", penalty.cause).close('}').take();
  }
  return list + "]";
}

std::string policies_json(const config::Policies& policies) {
  auto out = json::object();
  out.text("meters", word(meters_names, policies.meters)).text("on_break", word(on_break_names, policies.on_break));
  out.text("on_cancel", word(on_cancel_names, policies.on_cancel)).boolean("pay_loser", policies.pay_loser);
  return out.boolean("show_gross", policies.show_gross).text("zero_output", word(zero_output_names, policies.zero_output)).close('}').take();
}

std::vector<std::pair<std::string_view, std::string_view>> policy_words(const config::Policies& policies) {
  return {{"on_cancel", word(on_cancel_names, policies.on_cancel)},       {"on_break", word(on_break_names, policies.on_break)},
          {"zero_output", word(zero_output_names, policies.zero_output)}, {"pay_loser", policies.pay_loser ? "true" : "false"},
          {"meters", word(meters_names, policies.meters)}};
}

std::string whole_terms(const std::string& contract, std::int64_t from_ms, std::optional<std::int64_t> to_ms,
                        const ContractTerms& terms) {
  const ContractTerms defaults;
  auto out = json::object();
  out.text("base", name(terms.base)).text("chargeback", name(terms.chargeback));
  if (terms.chargeback_cost != defaults.chargeback_cost) out.text("chargeback_cost", name(terms.chargeback_cost));
  if (terms.early_exit) {
    auto exit = json::object();
    out.raw("early_exit", exit.text("by", name(terms.early_exit->by)).integer("ppm", terms.early_exit->ppm).close('}').take());
  }
  out.raw("from", quoted_date(from_ms));
  if (!terms.guarantee.zero()) out.text("guarantee", terms.guarantee.text());
  if (terms.holdback != defaults.holdback) {
    auto holdback = json::object();
    out.raw("holdback", holdback.integer("days", terms.holdback.days).integer("ppm", terms.holdback.ppm).close('}').take());
  }
  out.text("id", contract);
  if (terms.index) {
    auto index = json::object();
    index.integer("alarm_ppm", terms.index->alarm_ppm).text("name", terms.index->name);
    out.raw("index", index.text("reference", terms.index->reference.text()).close('}').take());
  }
  if (!terms.min_payout.zero()) out.text("min_payout", terms.min_payout.text());
  if (!terms.penalties.empty()) out.raw("penalties", penalties_json(terms.penalties));
  out.raw("policies", policies_json(terms.policies));
  if (terms.referrer_party.empty()) {
    out.raw("referrer", "null");
  } else {
    auto referrer = json::object();
    out.raw("referrer", referrer.text("party", terms.referrer_party).raw("until", quoted_date(terms.referrer_until_ms)).close('}').take());
  }
  out.raw("shares", shares_json(terms.shares));
  if (!terms.tiers.steps.empty()) out.raw("tiers", tiers_json(terms.tiers));
  return out.raw("to", quoted_date(to_ms)).close('}').take();
}

bool read_whole_terms(const std::string& text, ContractTerms& out) {
  json::Cursor in(text, {.depth = 6, .unique_keys = true});
  return read_members(in, [&](const std::string& key) { return read_term(in, key, out); }) && in.finish();
}

}  // namespace trib::ledger
