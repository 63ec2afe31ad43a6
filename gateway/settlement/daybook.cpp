#include "gateway/settlement/daybook.h"

#include <algorithm>

#include "gateway/settlement/amounts.h"

namespace trib::settlement {
namespace {

using money::Amount;

using EntryKey = std::pair<std::string, std::string>;  // day, owner

// What stands in books of whole fen: each account rounded, the rest in clearing.
std::map<std::string, Fen> rounded(const std::map<std::string, Amount>& stands) {
  std::map<std::string, Fen> out;
  std::int64_t sum = 0;
  for (const auto& [account, amount] : stands) {
    const std::int64_t fen = to_fen(amount);
    if (amount.zero()) continue;
    out[account] = {fen, amount};
    sum += fen;
  }
  if (sum != 0) out[std::string(ledger::account_clearing)].fen -= sum;
  return out;
}

std::map<std::string, Amount> stands_after(ledger::Reader& reader, ledger::Period period, const std::string& party) {
  std::map<std::string, Amount> out;
  for (const auto& row : reader.trial_balance_after(period).accounts)
    if (party.empty() || owner_of(row.account) == party) out[row.account] = row.debit - row.credit;
  return out;
}

// Days in order, so that each account's fen are what it stands at less what it stood at.
void round_days(std::map<std::string, Amount> stands, std::map<EntryKey, DayEntry>& entries, Daybook& out) {
  for (auto& [key, entry] : entries) {
    for (auto at = entry.moved.begin(); at != entry.moved.end();) {
      Amount& stood = stands[at->first];
      at->second.fen = to_fen(stood + at->second.pico) - to_fen(stood);
      stood += at->second.pico;
      entry.clearing_fen -= at->second.fen;
      at = at->second.fen == 0 && at->second.pico.zero() ? entry.moved.erase(at) : std::next(at);
    }
    if (!entry.moved.empty()) out.entries.push_back(std::move(entry));
  }
}

}  // namespace

std::string owner_of(std::string_view account) {
  const auto slash = account.find('/');
  const std::string_view code = account.substr(0, slash);
  if (code == "L200" || code == "A110") return "customer:" + std::string(account.substr(slash + 1));
  if (code == "A120") return std::string(account.substr(slash + 1));
  const std::string party = ledger::party_of(account);
  return party.empty() ? "platform" : party;
}

std::int64_t to_fen(Amount amount) {
  const money::int128 fen = half_up_fen(amount).pico() / pico_per_fen;
  TRIB_ASSERT(fen < INT64_MAX && fen > -INT64_MAX);  // the store's micro-CNY fit 64 bits
  return static_cast<std::int64_t>(fen);
}

Amount fen_amount(std::int64_t fen) { return Amount::pico(static_cast<money::int128>(fen) * pico_per_fen); }

std::string fen_text(std::int64_t fen) {
  const std::uint64_t value = fen < 0 ? 0 - static_cast<std::uint64_t>(fen) : static_cast<std::uint64_t>(fen);
  const std::string cents = std::to_string(value % 100);
  return (fen < 0 ? "-" : "") + std::to_string(value / 100) + (cents.size() == 1 ? ".0" : ".") + cents;
}

std::string read_daybook(ledger::Reader& reader, ledger::Period period, const std::string& party, Daybook& out) {
  const std::int64_t begin = ledger::period_begin_ms(period), last = ledger::period_end_ms(period) - 1;
  std::map<EntryKey, DayEntry> entries;
  const bool walked = reader.transfers(period, [&](const ledger::TransferRow& transfer) {
    const std::string day = ledger::day_text(std::clamp(transfer.effective_at, begin, last));
    DayEntry* counted = nullptr;
    for (const ledger::Leg& leg : transfer.legs) {
      const std::string owner = owner_of(leg.account);
      if (leg.account == ledger::account_clearing || (!party.empty() && owner != party)) continue;
      DayEntry& entry = entries[{day, owner}];
      entry.day = day;
      entry.owner = owner;
      entry.moved[leg.account].pico += leg.amount;
      if (counted == &entry) continue;
      counted = &entry;
      ++entry.transfers;
      if (entry.batch_from == 0) entry.batch_from = transfer.batch;
      entry.batch_to = transfer.batch;
      const auto view = [](const Sha256& hash) { return std::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()); };
      entry.hash = sha256(view(entry.hash), view(transfer.leaf));
    }
    return true;
  });
  const auto before = stands_after(reader, ledger::previous_period(period), party);
  const auto after = stands_after(reader, period, party);
  if (!walked || !reader.error().empty()) return reader.error();
  auto left = after;
  for (const auto& [account, stood] : before) left[account] -= stood;
  for (const auto& [key, entry] : entries)
    for (const auto& [account, moved] : entry.moved) left[account] -= moved.pico;
  for (const auto& [account, amount] : left)
    if (!amount.zero() && account != ledger::account_clearing) return "account " + account + " and its legs differ by " + amount.text();
  out.opening = rounded(before);
  out.closing = rounded(after);
  round_days(before, entries, out);
  return {};
}

}  // namespace trib::settlement
