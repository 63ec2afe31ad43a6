#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"settlement.exports", Type::section, "", "", "", "What exports say beyond the books ([exports.md](exports.md))."},
    {"settlement.exports.layouts", Type::path, "", "", "",
     "Your chart of accounts and the columns of vouchers and e-invoices, from this file's folder; absent: neither is exported."},
    {"settlement.exports.parties", Type::list, "", "0", "20000", "Who parties and customers are before the law."},
    {"settlement.exports.parties[].party", Type::text, "required", "", "",
     "`platform`, `site:ID`, `vendor:ID`, `referrer:ID` or `customer:TENANT`."},
    {"settlement.exports.parties[].legal_name", Type::text, "required", "", "", "As its licence has it."},
    {"settlement.exports.parties[].tax_no", Type::text, "", "", "", "Taxpayer's number: 15 to 20 digits and capital letters."},
    {"settlement.exports.parties[].address", Type::text, "", "", "", "For invoices."},
    {"settlement.exports.parties[].phone", Type::text, "", "", "", "For invoices."},
    {"settlement.exports.parties[].bank", Type::text, "", "", "", "For invoices: the bank and its branch."},
    {"settlement.exports.parties[].bank_account", Type::text, "", "", "", "For invoices."},
    {"settlement.exports.parties[].email", Type::text, "", "", "", "For invoices."},
};

bool known(std::string_view party) {
  if (party == "platform") return true;
  for (const std::string_view kind : {"site:", "vendor:", "referrer:", "customer:"})
    if (party.starts_with(kind)) return party.size() > kind.size();
  return false;
}

bool tax_number(std::string_view text) {
  return text.size() >= 15 && text.size() <= 20 && text.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos;
}

LegalParty read_party(const Section& in) {
  LegalParty out;
  out.party = in.text("party");
  if (!known(out.party)) in.fail("party", "must be `platform`, `site:ID`, `vendor:ID`, `referrer:ID` or `customer:TENANT`");
  out.legal_name = in.text("legal_name");
  out.tax_no = in.text("tax_no");
  if (!out.tax_no.empty() && !tax_number(out.tax_no)) in.fail("tax_no", "must be 15 to 20 digits and capital letters");
  out.address = in.text("address");
  out.phone = in.text("phone");
  out.bank = in.text("bank");
  out.bank_account = in.text("bank_account");
  out.email = in.text("email");
  return out;
}

}  // namespace

std::span<const Key> exports_keys() { return rows; }

const LegalParty* ExportsConfig::legal(std::string_view party) const {
  const auto found = parties.find(party);
  return found == parties.end() ? nullptr : &found->second;
}

ExportsConfig read_exports(const Section& section) {
  ExportsConfig out;
  if (section.given("layouts")) {
    const std::string file = section.document().beside(section.path("layouts"));
    out.layouts = parse_layouts(file, read_file(file), section.document().env());
  }
  for (const Section& in : section.sections("parties")) {
    LegalParty one = read_party(in);
    const std::string party = one.party;
    if (!out.parties.emplace(party, std::move(one)).second) in.fail("party", "stands twice");
  }
  return out;
}

}  // namespace trib::config
