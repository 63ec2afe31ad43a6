// What a customer is charged for a month, as its invoice says it. An invoice is made once, when the month is
// closed, and kept in the ledger inside the document that trues up its VAT (code 60); it never changes. What
// exports need of it is here: plain data, no rules. Rules: docs/desk.md.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

// One model under one price version. Whole fen, but for `charged`. net + tax = amount. Where the price holds
// its tax, tax is half-up of amount * percent / (100 + percent); where it comes on top, of net * percent / 100.
struct InvoiceLine {
  std::string model;
  std::uint32_t price_version = 0, tax_percent = 0;
  bool tax_inclusive = true;
  money::Amount charged;            // exact: what the customer's account was charged, corrections included
  money::Amount amount, net, tax;   // with tax, without, the tax
  std::uint64_t requests = 0, tokens_in = 0, tokens_out = 0;  // as they were served
  friend bool operator==(const InvoiceLine&, const InvoiceLine&) = default;
};

// opening_carry + the lines' charged = total of the lines without a tax on top + closing_carry: what is less
// than a fen goes to the next invoice. The lines' amount, net and tax sum to the invoice's. Without lines
// closing_carry = opening_carry holds what is carried, too; the next one opens with what is not.
struct Invoice {
  std::string no;  // "2026-11/acme"
  std::uint32_t version = 1;
  ledger::Period period = 0;
  std::string tenant;
  std::string item_code;  // 19 digits: what is sold, for e-invoices
  money::Amount opening_carry, charged, amount, net, tax, closing_carry;
  money::Amount vat_accrued;    // exact: what L240 held of it
  money::Amount receivable;     // of the amount, what the customer owes (A110); the rest was paid before
  std::int64_t made_ms = 0;     // Unix ms
  std::string seal_hash;        // of the closed period, hex
  std::vector<InvoiceLine> lines;  // by model, then price version
  std::vector<InvoiceLine> carried;  // instead of them where they come to less than a fen: they are lines of the next invoice
  friend bool operator==(const Invoice&, const Invoice&) = default;
};

std::string invoice_text(const Invoice& invoice);  // canonical JSON
std::optional<Invoice> read_invoice(const std::string& text);
bool adds_up(const Invoice& invoice);  // all sums above, whole fen where it says so

// Those that were made, in order; of one period where it is given. A failed store gives none (reader.error()).
std::vector<Invoice> invoices(ledger::Reader& reader, std::optional<ledger::Period> period = {});

}  // namespace trib::settlement
