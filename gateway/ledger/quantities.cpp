#include "gateway/ledger/quantities.h"

#include <algorithm>

#include "gateway/ledger/bytes.h"

namespace trib::ledger {

const std::string quantity_amounts = "attempts, tokens_input, tokens_cached_input, tokens_cache_write, tokens_output, tokens_reasoning";
const std::string quantity_columns = "batch, n, period, site, model, account, " + quantity_amounts + ", leaf";
const std::string quantity_total_columns = "account, site, model, period, " + quantity_amounts;

namespace {

using metering::AttemptResult;
using metering::TokenCounts;

// What no request has. Such a figure is a broken meter's, and says nothing.
constexpr std::uint64_t claim_end = 1'000'000'000;
constexpr std::size_t prompt_classes_end = 4;  // 1 to 3 are the prompt's, the rest is output

Quantity quantity_of(std::int64_t attempts, const TokenCounts& c) {
  const auto n = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  return {attempts, n(c.input), n(c.cached_input), n(c.cache_write), n(c.output), n(c.reasoning)};
}

bool believable(const TokenCounts& c) {
  return std::max({c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) < claim_end;
}

Quantity produced_by(const AttemptResult& result, const TokenCounts& billed) { return quantity_of(1, counted(result, billed)); }

QuantityAccount waste_of(const AttemptResult& result, bool billed) {
  static const std::string_view outrun = name(FaultKind::outrun), none = name(FaultKind::none), client = name(Side::client);
  if (result.fault == none) return billed ? QuantityAccount::difference : QuantityAccount::unbilled;
  if (result.fault == outrun) return QuantityAccount::hedge_loser;
  return result.side == client ? QuantityAccount::abandoned : QuantityAccount::failed;
}

// `went_on`: an earlier attempt of the request was billed, so the prompt was read a second time.
void book(std::array<Quantity, quantity_accounts>& accounts, const AttemptResult& result, const TokenCounts& counts, bool went_on) {
  const auto to = [&](QuantityAccount account) -> Quantity& { return accounts[static_cast<std::size_t>(account)]; };
  const bool is_billed = counts.total() > 0;
  const Quantity produced = produced_by(result, counts), billed = quantity_of(is_billed ? 1 : 0, counts);
  const QuantityAccount kind = waste_of(result, is_billed);
  for (std::size_t i = 0; i < quantity_classes; ++i) {
    const std::int64_t rest = produced[i] - billed[i];
    to(QuantityAccount::produced)[i] -= produced[i];
    to(QuantityAccount::consumed)[i] += billed[i];
    if (rest == 0) continue;
    const bool again = is_billed && went_on && i > 0 && i < prompt_classes_end;
    to(rest < 0 ? QuantityAccount::difference : again ? QuantityAccount::second_prefill : kind)[i] += rest;
  }
}

}  // namespace

std::string_view name(QuantityAccount account) {
  switch (account) {
    case QuantityAccount::produced: return "Q900/produced";
    case QuantityAccount::consumed: return "Q900/consumed";
    case QuantityAccount::hedge_loser: return "Q900/waste/hedge_loser";
    case QuantityAccount::failed: return "Q900/waste/failed";
    case QuantityAccount::second_prefill: return "Q900/waste/second_prefill";
    case QuantityAccount::abandoned: return "Q900/waste/abandoned";
    case QuantityAccount::unbilled: return "Q900/waste/unbilled";
    case QuantityAccount::difference: return "Q900/waste/difference";
    case QuantityAccount::meters: return "Q900/meters";
  }
  return "unknown";
}

// The engine's claim; without one no more than what was received or billed, since the prompt of an attempt
// that said nothing of it may or may not have been read.
TokenCounts counted(const AttemptResult& result, const TokenCounts& billed) {
  if (result.claimed && believable(*result.claimed)) return *result.claimed;
  TokenCounts out = billed;
  const std::uint64_t output = billed.output + billed.reasoning;
  if (result.pieces > output && result.pieces < claim_end) out.output += result.pieces - output;
  return out;
}

std::optional<QuantityAccount> parse_quantity_account(std::string_view text) {
  for (std::size_t i = 0; i < quantity_accounts; ++i)
    if (const auto account = static_cast<QuantityAccount>(i); text == name(account)) return account;
  return std::nullopt;
}

void add(Quantity& to, const Quantity& more) {
  for (std::size_t i = 0; i < quantity_classes; ++i) to[i] += more[i];
}

Sha256 leaf_of(const QuantityRow& row, std::uint16_t shard) {
  ByteWriter w;
  w.fixed(std::uint8_t{0});  // a leaf
  w.fixed(std::uint8_t{1});  // format version
  w.fixed(std::uint8_t{5});  // its kind, after those of rows.cpp
  w.fixed(shard);
  w.fixed(row.batch);
  w.fixed(row.n);
  w.fixed(row.period);
  w.text(row.site);
  w.text(row.model);
  w.text(row.account);
  for (const std::int64_t n : row.amount) w.fixed(n);
  return sha256(w.written());
}

Quantities::Accounts& Quantities::of(const UsageRow& row, const std::string& site) {
  if (last_ && std::get<0>(*last_key_) == row.period && std::get<1>(*last_key_) == site && std::get<2>(*last_key_) == row.model) {
    return *last_;
  }
  const auto at = sums_.try_emplace({row.period, site, row.model}).first;
  last_key_ = &at->first;
  last_ = &at->second;
  return *last_;
}

void Quantities::add(const UsageRow& row, const metering::Final& final, const Rated& rated) {
  if (row.state == State::quarantined) return;
  std::size_t share = 0;  // shares are in the attempts' order
  const std::size_t count = std::min(final.attempts.size(), final.results.size());
  for (std::size_t i = 0; i < count; ++i) {
    static const TokenCounts nothing;
    const bool shares = share < rated.shares.size() && rated.shares[share].attempt == final.attempts[i].n;
    book(of(row, final.attempts[i].site), final.results[i], shares ? rated.shares[share].counts : nothing, share > 0);
    if (shares) ++share;
  }
}

void Quantities::add(const UsageRow& row, const std::vector<AttemptRow>& attempts) {
  if (row.state == State::quarantined) return;
  bool went_on = false;
  for (const AttemptRow& attempt : attempts) {
    book(of(row, attempt.sent.site), attempt.result, attempt.billed, went_on);
    went_on |= attempt.billed.total() > 0;
  }
}

void Quantities::add(const QuantityMove& move) {
  ledger::add(sums_[{move.period, move.site, move.model}][static_cast<std::size_t>(move.account)], move.amount);
}

std::vector<QuantityMove> Quantities::moves() const {
  std::vector<QuantityMove> out;
  for (const auto& [key, accounts] : sums_) {
    for (std::size_t i = 0; i < quantity_accounts; ++i) {
      if (accounts[i] == Quantity{}) continue;
      const auto& [period, site, model] = key;
      out.push_back({period, site, model, static_cast<QuantityAccount>(i), accounts[i]});
    }
  }
  return out;
}

std::vector<QuantityRow> Quantities::rows(std::uint16_t shard, std::uint64_t batch) const {
  std::vector<QuantityRow> out;
  for (const auto& [key, accounts] : sums_) {
    Quantity sum{};
    for (std::size_t i = 0; i < quantity_accounts; ++i) {
      ledger::add(sum, accounts[i]);
      if (accounts[i] == Quantity{}) continue;
      QuantityRow& row = out.emplace_back();
      row.batch = batch;
      row.n = static_cast<std::uint32_t>(out.size());
      std::tie(row.period, row.site, row.model) = key;
      row.account = name(static_cast<QuantityAccount>(i));
      row.amount = accounts[i];
      row.leaf = leaf_of(row, shard);
    }
    TRIB_ASSERT(sum == Quantity{});
  }
  return out;
}

bool QuantityTables::prepare(Connection& db) {
  std::string sums;
  for (const char* column : {"attempts", "tokens_input", "tokens_cached_input", "tokens_cache_write", "tokens_output", "tokens_reasoning"}) {
    sums += std::string(sums.empty() ? "" : ", ") + column + " = quantity_total." + column + " + excluded." + column;
  }
  insert = db.prepare("INSERT INTO quantity(shard, " + quantity_columns + ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  add = db.prepare("INSERT INTO quantity_total(shard, " + quantity_total_columns + ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                   "ON CONFLICT(account, site, model, shard, period) DO UPDATE SET " + sums);
  return insert && add;
}

bool QuantityTables::put(const QuantityRow& row, std::uint16_t shard) {
  insert.reset().bind(shard).bind(static_cast<std::int64_t>(row.batch)).bind(row.n).bind(row.period);
  insert.bind(row.site).bind(row.model).bind(row.account);
  for (const std::int64_t n : row.amount) insert.bind(n);
  if (!insert.blob(row.leaf).queue()) return false;
  add.reset().bind(shard).bind(row.account).bind(row.site).bind(row.model).bind(row.period);
  for (const std::int64_t n : row.amount) add.bind(n);
  return add.queue();
}

void read(Statement& from, Quantity& to) {
  for (std::int64_t& n : to) n = from.integer();
}

void read(Statement& from, QuantityRow& to) {
  to.batch = from.number<std::uint64_t>();
  to.n = from.number<std::uint32_t>();
  to.period = from.number<std::int32_t>();
  to.site = from.text();
  to.model = from.text();
  to.account = from.text();
  read(from, to.amount);
  to.leaf = from.digest();
}

}  // namespace trib::ledger
