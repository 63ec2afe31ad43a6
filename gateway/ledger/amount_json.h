// An amount in JSON is a decimal string in CNY.
#pragma once
#include <string>

#include "gateway/base/json.h"
#include "gateway/money/money.h"

namespace trib::ledger {

inline bool read_amount(json::Cursor& in, money::Amount& out) {
  std::string text;
  if (!in.read_string(text)) return false;
  const auto amount = money::Amount::parse(text);
  if (amount) out = *amount;
  return amount.has_value();
}

}  // namespace trib::ledger
