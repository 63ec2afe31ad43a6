// A month's daybook as vouchers for a general ledger: one a day, a line an account. The columns are the
// importing product's, from the layouts' file.
#pragma once
#include <string>
#include <vector>

#include "gateway/settlement/daybook.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {

struct Vouchers {
  ExportFile lines, totals;  // voucher.csv, and the control totals as SAF-T has them
  std::string error;         // an account without a code, no layout
};
Vouchers make_vouchers(const SheetForm& form, ledger::Period period, const Daybook& book, const config::ExportsConfig& config);

}  // namespace trib::settlement
