// A batch of digital invoices (数电票) for the tax bureau's import: two sheets whose columns stand in the layouts'
// file. One bad line rejects a batch there, so all are checked before; the first that is wrong is named.
#pragma once
#include <string>
#include <vector>

#include "gateway/settlement/invoice.h"
#include "gateway/settlement/settlement.h"

namespace trib::settlement {

// Why `invoice` cannot be imported, or empty: no buyer's name or tax number, an item without a name or with a code
// that is not 19 digits, an amount that is not above zero (a red one goes through its own form first), a tax that the
// bureau would reckon otherwise.
std::string refuse(const Invoice& invoice, const config::ExportsConfig& config);

// einvoice.xlsx; empty with the reason where one is refused or there is none.
ExportFile make_einvoices(const std::vector<Invoice>& invoices, std::int64_t made_ms, const config::ExportsConfig& config, std::string& why);

}  // namespace trib::settlement
