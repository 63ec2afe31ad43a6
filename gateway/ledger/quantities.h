// The quantity ledger (Q900): what the sites' engines produced is what customers consumed and what was
// wasted. Double entry like the money: for each site, model and period the rows of a batch sum to zero in
// every class. Booked from a request's row alone, so that a replay gives the same and anyone can repeat it.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "gateway/ledger/detail.h"
#include "gateway/ledger/sql.h"

namespace trib::ledger {

enum class QuantityAccount : std::uint8_t {
  produced,        // by the site, as its engine claims it, else as it was received
  consumed,        // by the customer: the billed count
  hedge_loser,     // of a site that was outrun by another
  failed,          // of an attempt that broke: what nobody was given or paid for
  second_prefill,  // prompts read again by a site that went on with another's answer
  abandoned,       // of an attempt whose customer had left
  unbilled,        // whole answers that bill nothing: those without output
  difference,      // claim less bill where nothing broke; negative: more was billed than claimed
  meters,          // what the site signed less what the gateway counted: documents alone, against `produced`
};
inline constexpr std::size_t quantity_accounts = 9;
std::string_view name(QuantityAccount account);  // "Q900/produced", "Q900/waste/failed", ...
std::optional<QuantityAccount> parse_quantity_account(std::string_view text);

// One amount for each class; debit positive, credit negative, as with money. An attempt counts once:
// as consumed where tokens of it are billed, as waste otherwise.
inline constexpr std::size_t quantity_classes = 6;
inline constexpr std::array<std::string_view, quantity_classes> quantity_class_names{
    "attempts", "input", "cached_input", "cache_write", "output", "reasoning"};
using Quantity = std::array<std::int64_t, quantity_classes>;
void add(Quantity& to, const Quantity& more);

struct QuantityRow {
  std::uint64_t batch = 0;
  std::uint32_t n = 0;  // 1, 2, 3... in its batch
  std::int32_t period = 0;
  std::string site, model, account;
  Quantity amount{};
  Sha256 leaf{};
};
Sha256 leaf_of(const QuantityRow& row, std::uint16_t shard);

// What an attempt's engine produced as the gateway saw it, by class: its claim, else what was billed or received.
metering::TokenCounts counted(const metering::AttemptResult& result, const metering::TokenCounts& billed);

// What a document moves: of one account of one site, model and period. Those of a document sum to zero
// for each site, model and period, in every class.
struct QuantityMove {
  std::int32_t period = 0;
  std::string site, model;
  QuantityAccount account{};
  Quantity amount{};
  friend bool operator==(const QuantityMove&, const QuantityMove&) = default;
};

// What one batch books. Requests in quarantine book nothing, as they move no money.
class Quantities {
 public:
  Quantities() = default;
  Quantities(const Quantities&) = delete;
  Quantities& operator=(const Quantities&) = delete;
  void add(const UsageRow& row, const metering::Final& final, const Rated& rated);
  void add(const UsageRow& row, const std::vector<AttemptRow>& attempts);  // the same, from the store
  void add(const QuantityMove& move);  // of a document
  std::vector<QuantityMove> moves() const;  // what was added, in the order of rows()
  // By period, site, model and account; rows of nothing are left out.
  std::vector<QuantityRow> rows(std::uint16_t shard, std::uint64_t batch) const;

 private:
  using Accounts = std::array<Quantity, quantity_accounts>;
  Accounts& of(const UsageRow& row, const std::string& site);
  std::map<std::tuple<std::int32_t, std::string, std::string>, Accounts> sums_;
  const std::tuple<std::int32_t, std::string, std::string>* last_key_ = nullptr;  // of the request before,
  Accounts* last_ = nullptr;  // which is often for the same site and model
};

// The tables: sealed rows, and their sums.
struct QuantityTables {
  Statement insert, add;
  bool prepare(Connection& db);
  bool put(const QuantityRow& row, std::uint16_t shard);
};
extern const std::string quantity_columns, quantity_total_columns;
void read(Statement& from, Quantity& to);
void read(Statement& from, QuantityRow& to);

}  // namespace trib::ledger
