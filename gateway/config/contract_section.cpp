#include <algorithm>
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
    {"contracts[].base", Type::choice, "gross", "gross", "", "What is split."},
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
    {"contracts[].tiers", Type::not_yet, "", "", "", "Other shares above a turnover."},
    {"contracts[].guarantee", Type::not_yet, "", "", "", "Least pay of a period."},
    {"contracts[].holdback", Type::not_yet, "", "", "", "A part paid later."},
    {"contracts[].min_payout", Type::not_yet, "", "", "", "Least payout."},
    {"contracts[].chargeback", Type::choice, "by_split", "by_split", "", "Who bears a refund."},
    {"contracts[].penalties", Type::not_yet, "", "", "", "Deductions."},
    {"contracts[].early_exit", Type::not_yet, "", "", "", "Price of leaving early."},
    {"contracts[].index", Type::not_yet, "", "", "", "A price index to watch."},
    {"contracts[].policies", Type::section, "", "", "",
     "What is billed when a request does not end well."},
    {"contracts[].policies.on_cancel", Type::choice, "received", "received", "",
     "Customer left: input and what the gateway had received."},
    {"contracts[].policies.on_break", Type::choice, "output_only", "output_only", "",
     "Supply broke off: delivered output, no input."},
    {"contracts[].policies.zero_output", Type::choice, "nothing", "nothing", "",
     "No output: nothing."},
    {"contracts[].policies.pay_loser", Type::choice, "false", "false", "",
     "The loser of a hedged pair is not paid."},
    {"contracts[].policies.meters", Type::choice, "lower", "lower", "",
     "The lower count holds where meters disagree."},
    {"contracts[].policies.show_gross", Type::choice, "false", "false", "",
     "Whether a party sees the gross."},
};

// The words of interfaces that a later version will honour: known, so that the message says so.
void check_word(const Section& in, const char* key, std::initializer_list<std::string_view> later) {
  if (!in.given(key)) return;
  const std::string word = in.text(key);
  if (std::find(later.begin(), later.end(), word) != later.end()) {
    in.fail(key, shown(word) + " is not honoured by this version; only " +
                     std::string(in.fallback(key)) + " is");
  }
  in.choice(key);
}

void check_terms(const Section& in) {
  check_word(in, "base", {"net_of_refunds", "net_of_vat", "net_of_fees"});
  check_word(in, "chargeback", {"platform", "site"});
  const Section policies = in.section("policies");
  check_word(policies, "on_cancel", {"delivered", "acknowledged"});
  check_word(policies, "on_break", {"all", "nothing"});
  check_word(policies, "zero_output", {});
  check_word(policies, "pay_loser", {"true"});
  check_word(policies, "meters", {});
  check_word(policies, "show_gross", {"true"});
}

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

// Every term with its default written out, keys in order: equal terms have equal text.
std::string canonical(const ContractConfig& c) {
  auto date = [](const std::optional<std::int64_t>& ms) {
    return ms ? "\"" + date_text(*ms) + "\"" : std::string("null");
  };
  auto share = [](const char* key, std::uint32_t ppm) {
    return "\"" + std::string(key) + "\":" + std::to_string(ppm);
  };
  std::string referrer = "null";
  if (!c.referrer_party.empty()) {
    referrer =
        "{\"party\":\"" + c.referrer_party + "\",\"until\":" + date(c.referrer_until_ms) + "}";
  }
  return "{\"base\":\"gross\",\"chargeback\":\"by_split\",\"from\":" + date(c.from_ms) +
         ",\"id\":\"" + c.id +
         "\",\"policies\":{\"meters\":\"lower\",\"on_break\":\"output_only\",\"on_cancel\":"
         "\"received\","
         "\"pay_loser\":false,\"show_gross\":false,\"zero_output\":\"nothing\"},\"referrer\":" +
         referrer + ",\"shares\":{" + share("platform", c.shares.platform) + "," +
         share("referrer", c.shares.referrer) + "," + share("site", c.shares.site) + "," +
         share("vendor", c.shares.vendor) + "},\"to\":" + date(c.to_ms) + "}";
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

ContractConfig read_contract(const Section& in) {
  ContractConfig out;
  out.id = in.id("id");
  out.from_ms = in.date("from").value_or(0);  // required: never absent here
  out.to_ms = in.date("to");
  if (out.to_ms && *out.to_ms <= out.from_ms)
    in.fail("to", "is not after from; correct one of them");
  check_terms(in);
  out.shares = read_shares(in.section("shares"));
  read_referrer(in, out);
  out.terms = canonical(out);
  return out;
}

}  // namespace

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
