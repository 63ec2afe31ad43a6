#include <map>

#include "gateway/config/scalar.h"
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"contracts[].id", Type::id, "required", "", "",
     "The same id with another `from` is another version."},
    {"contracts[].from", Type::date, "required", "", "", "A bare date is 00:00 in Asia/Shanghai."},
    {"contracts[].to", Type::date, "", "", "",
     "Its end, not included. Default: open; a later `from` of the same id ends it too."},
    {"contracts[].base", Type::choice, "gross", "gross|net_of_refunds|net_of_vat|net_of_fees", "",
     "What the shares are of."},
    {"contracts[].shares", Type::section, "required", "", "",
     "Parts per million; they sum to 1000000."},
    {"contracts[].shares.platform", Type::count, "0", "0", "1000000", "The platform's part."},
    {"contracts[].shares.site", Type::count, "0", "0", "1000000", "The serving site's part."},
    {"contracts[].shares.vendor", Type::count, "0", "0", "1000000", "The chip vendor's part."},
    {"contracts[].shares.referrer", Type::count, "0", "0", "1000000", "The referrer's part."},
    {"contracts[].referrer", Type::section, "", "", "",
     "Who brought the site; needed for a referrer's share."},
    {"contracts[].referrer.party", Type::id, "required", "", "", "Whose part it is."},
    {"contracts[].referrer.until", Type::date, "", "", "",
     "The last day that pays; the platform has the part afterwards. Default: open."},
    {"contracts[].tiers", Type::section, "", "", "",
     "Other shares above a turnover; trued up when the period closes."},
    {"contracts[].tiers.mode", Type::choice, "graduated", "graduated|whole", "",
     "Each slice by its own shares, or all by those of the step that was reached."},
    {"contracts[].tiers.steps", Type::list, "required", "1", "16", "By `over`, rising."},
    {"contracts[].tiers.steps[].over", Type::amount, "required", "", "",
     "The period's cumulative share base above which the step's shares hold."},
    {"contracts[].tiers.steps[].shares", Type::section, "required", "", "",
     "Parts per million; they sum to 1000000."},
    {"contracts[].tiers.steps[].shares.platform", Type::count, "0", "0", "1000000",
     "The platform's part."},
    {"contracts[].tiers.steps[].shares.site", Type::count, "0", "0", "1000000",
     "The serving site's part."},
    {"contracts[].tiers.steps[].shares.vendor", Type::count, "0", "0", "1000000",
     "The chip vendor's part."},
    {"contracts[].tiers.steps[].shares.referrer", Type::count, "0", "0", "1000000",
     "The referrer's part."},
    {"contracts[].guarantee", Type::amount, "0", "", "",
     "What the site is paid at least, a period, by the days on which it stood under the contract. 0: nothing is guaranteed."},
    {"contracts[].holdback", Type::section, "", "", "",
     "A part of each period's pay that is kept in reserve and released later."},
    {"contracts[].holdback.ppm", Type::count, "100000", "0", "1000000",
     "How much; 0: nothing is kept."},
    {"contracts[].holdback.days", Type::count, "30", "0", "3650", "How long."},
    {"contracts[].min_payout", Type::amount, "0", "", "",
     "Less is carried to the next period. Whole fen."},
    {"contracts[].chargeback", Type::choice, "by_split", "by_split|platform|site", "",
     "Who gives back what a customer's bank takes back."},
    {"contracts[].chargeback_cost", Type::choice, "platform", "platform|site|by_split", "",
     "Who bears the payment provider's fee for it."},
    {"contracts[].penalties", Type::list, "", "0", "64", "Deductions, each with evidence."},
    {"contracts[].penalties[].cause", Type::id, "required", "", "",
     "What is measured, such as availability."},
    {"contracts[].penalties[].below_ppm", Type::count, "required", "0", "1000000",
     "Due when the measure falls below this."},
    {"contracts[].penalties[].amount", Type::amount, "required", "", "", "Each time."},
    {"contracts[].penalties[].cap", Type::amount, "required", "", "", "Of a period."},
    {"contracts[].early_exit", Type::section, "", "", "", "The price of leaving before `to`."},
    {"contracts[].early_exit.by", Type::choice, "either", "either|platform|site", "",
     "Whose leaving costs it."},
    {"contracts[].early_exit.ppm", Type::count, "required", "0", "1000000",
     "Of the remaining guarantee."},
    {"contracts[].index", Type::section, "", "", "",
     "A market price to watch: `tributary contract risk` alarms when it has moved."},
    {"contracts[].index.name", Type::id, "required", "", "",
     "As `tributary index set` names it."},
    {"contracts[].index.reference", Type::amount, "required", "", "",
     "What it was when the contract was made."},
    {"contracts[].index.alarm_ppm", Type::count, "200000", "1", "1000000",
     "How far it may move, up or down."},
    {"contracts[].policies", Type::section, "", "", "",
     "What is billed when a request does not end well."},
    {"contracts[].policies.on_cancel", Type::choice, "received",
     "received|delivered|acknowledged", "",
     "Customer left: input, and the output that the gateway had received, had sent, or knows to have "
     "arrived."},
    {"contracts[].policies.on_break", Type::choice, "output_only", "output_only|all|nothing", "",
     "Supply broke off: the delivered output, input as well, or nothing."},
    {"contracts[].policies.zero_output", Type::choice, "nothing", "nothing|input", "",
     "No output: nothing; or, unless the supply broke off, the input."},
    {"contracts[].policies.pay_loser", Type::flag, "false", "", "",
     "Whether the loser of a hedged pair is paid for the input, by the platform."},
    {"contracts[].policies.meters", Type::choice, "lower", "lower|gateway", "",
     "Which count holds while the meters disagree."},
    {"contracts[].policies.show_gross", Type::flag, "false", "", "",
     "Whether a party's files show the gross."},
};

Shares read_shares(const Section& in) {
  const Shares out{in.count32("platform"), in.count32("site"), in.count32("vendor"),
                   in.count32("referrer")};
  const std::uint64_t sum = std::uint64_t{out.platform} + out.site + out.vendor + out.referrer;
  if (sum != money::ppm_whole) {
    in.fail("the shares sum to " + std::to_string(sum) +
            "; they must sum to 1000000 (parts per million)");
  }
  return out;
}

void read_referrer(const Section& contract, ContractConfig& out) {
  if (contract.given("referrer")) {
    const Section in = contract.section("referrer");
    out.referrer_party = in.id("party");
    out.referrer_until_ms = in.date("until");
    if (out.referrer_until_ms && *out.referrer_until_ms < out.from_ms)
      in.fail("until", "is before the contract's from; correct one of them");
  }
  if (out.shares.referrer > 0 && out.referrer_party.empty()) {
    contract.fail("shares",
                  "gives the referrer a share, but no referrer is named; add referrer: { party: ID "
                  "} or give the share to others");
  }
}

Tiers read_tiers(const Section& in, const std::string& referrer) {
  Tiers out;
  out.mode = static_cast<Tiers::Mode>(in.choice("mode"));
  if (!in.given("steps")) in.fail("steps", "is missing; add it, it has no default");
  for (const Section& step : in.sections("steps")) {
    const money::Amount over = step.amount("over");
    if (over.zero()) step.fail("over", "must be above zero; the contract's own shares hold from zero on");
    if (!out.steps.empty() && over <= out.steps.back().over)
      step.fail("over", "is not above that of the step before; let the steps rise");
    const Shares shares = read_shares(step.section("shares"));
    if (shares.referrer > 0 && referrer.empty())
      step.fail("shares", "gives the referrer a share, but the contract names none; add referrer: { party: ID }");
    out.steps.push_back({over, shares});
  }
  return out;
}

Penalty read_penalty(const Section& in) {
  const Penalty out{in.id("cause"), in.count32("below_ppm"), in.amount("amount"), in.amount("cap")};
  if (out.cap < out.amount) in.fail("cap", "is below the amount; a cap holds at least one penalty");
  return out;
}

MarketIndex read_index(const Section& in) {
  const MarketIndex out{in.id("name"), in.amount("reference"), in.count32("alarm_ppm")};
  if (out.reference.zero()) in.fail("reference", "must be above zero; it is what the index is compared with");
  return out;
}

Policies read_policies(const Section& in) {
  Policies out;
  out.on_cancel = static_cast<OnCancel>(in.choice("on_cancel"));
  out.on_break = static_cast<OnBreak>(in.choice("on_break"));
  out.zero_output = static_cast<ZeroOutput>(in.choice("zero_output"));
  out.pay_loser = in.flag("pay_loser");
  out.meters = static_cast<Meters>(in.choice("meters"));
  out.show_gross = in.flag("show_gross");
  return out;
}

// What only the close of a period asks for.
void read_settlement(const Section& in, ContractConfig& out) {
  constexpr money::int128 fen = 10'000'000'000;
  if (in.given("tiers")) out.tiers = read_tiers(in.section("tiers"), out.referrer_party);
  out.guarantee = in.amount("guarantee");
  const Section holdback = in.section("holdback");
  out.holdback = {holdback.count32("ppm"), holdback.count32("days")};
  out.min_payout = in.amount("min_payout");
  if (out.min_payout.pico() % fen != 0) in.fail("min_payout", "is not in whole fen; write at most 2 decimals");
  out.chargeback = static_cast<Chargeback>(in.choice("chargeback"));
  out.chargeback_cost = static_cast<ChargebackCost>(in.choice("chargeback_cost"));
  for (const Section& penalty : in.sections("penalties")) out.penalties.push_back(read_penalty(penalty));
  if (in.given("early_exit")) {
    const Section exit = in.section("early_exit");
    out.early_exit = EarlyExit{static_cast<EarlyExit::By>(exit.choice("by")), exit.count32("ppm")};
  }
  if (in.given("index")) out.index = read_index(in.section("index"));
}

}  // namespace

ContractConfig read_contract(const Section& in) {
  ContractConfig out;
  out.id = in.id("id");
  out.from_ms = in.date("from").value_or(0);  // required: never absent here
  out.to_ms = in.date("to");
  if (out.to_ms && *out.to_ms <= out.from_ms)
    in.fail("to", "is not after from; correct one of them");
  out.base = static_cast<ShareBase>(in.choice("base"));
  out.shares = read_shares(in.section("shares"));
  read_referrer(in, out);
  read_settlement(in, out);
  out.policies = read_policies(in.section("policies"));
  return out;
}

std::span<const Key> contract_keys() {
  return rows;
}

std::vector<ContractConfig> read_contracts(const Section& file) {
  std::vector<ContractConfig> out;
  std::vector<Section> read = file.sections("contracts");
  std::map<std::string, std::map<std::int64_t, std::size_t>> versions;  // id, from, index
  for (std::size_t i = 0; i < read.size(); ++i) {
    out.push_back(read_contract(read[i]));
    const auto [at, fresh] = versions[out[i].id].emplace(out[i].from_ms, i);
    if (!fresh) {
      read[i].fail("from", "overlaps the version of " + out[i].id + " at " +
                               read[at->second].place() +
                               ", which begins at the same time; give it a later date");
    }
  }
  for (const auto& [id, by_from] : versions) {
    for (auto at = by_from.begin(), next = std::next(at); next != by_from.end(); ++at, ++next) {
      const ContractConfig& earlier = out[at->second];
      if (earlier.to_ms && *earlier.to_ms > next->first) {
        read[at->second].fail("to", "overlaps the version of " + id + " at " +
                                        read[next->second].place() +
                                        "; end it there at the latest, or leave to out");
      }
    }
  }
  return out;
}

}  // namespace trib::config
