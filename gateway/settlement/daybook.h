// A month as other bookkeepers want it: in whole fen, one entry a party and day. Each account is rounded once a
// day, half away from zero, from what it stands at in pico, so that no rounding adds up; what an entry lacks to
// balance goes through clearing (C150), which is left with at most half a fen an account.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

struct Fen {  // debit positive
  std::int64_t fen = 0;
  money::Amount pico;
};

struct DayEntry {
  std::string day;    // within the period: what was earlier stands on its first day
  std::string owner;  // "site:dc-one", "customer:acme", "platform" for the house's own accounts
  std::map<std::string, Fen> moved;  // by account; fen sum to what clearing takes, negated
  std::int64_t clearing_fen = 0;     // so that all sum to zero
  std::uint64_t transfers = 0, batch_from = 0, batch_to = 0;
  Sha256 hash{};  // over its transfers' leaves: h = SHA-256(h, leaf), from 32 zero bytes
};

struct Daybook {
  std::map<std::string, Fen> opening, closing;  // by account, C150 too
  std::vector<DayEntry> entries;                // by day, then owner
};

std::string owner_of(std::string_view account);
std::int64_t to_fen(money::Amount amount);   // half away from zero
money::Amount fen_amount(std::int64_t fen);
std::string fen_text(std::int64_t fen);      // "-12.34"

// `party` empty: everybody. Why not, or empty: the store failed, or opening and entries do not lead to closing.
std::string read_daybook(ledger::Reader& reader, ledger::Period period, const std::string& party, Daybook& out);

}  // namespace trib::settlement
