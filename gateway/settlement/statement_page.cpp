#include "gateway/settlement/statement_page.h"

#include <set>

#include "gateway/settlement/daybook.h"

namespace trib::settlement {
namespace {

using money::Amount;

constexpr std::string_view style = R"(
@page{size:A4;margin:14mm 16mm}
*{box-sizing:border-box}
html{background:#eef0f2;-webkit-print-color-adjust:exact;print-color-adjust:exact}
body{font:13px/1.45 "Inter","Helvetica Neue","Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",Arial,sans-serif;color:#1c2733;
margin:24px auto;max-width:794px;background:#fff;padding:44px 52px;box-shadow:0 1px 6px #0002;font-variant-numeric:tabular-nums lining-nums}
header{display:flex;justify-content:space-between;align-items:flex-start;border-bottom:2px solid #1c2733;padding-bottom:14px}
h1{font-size:23px;line-height:1.15;margin:0;font-weight:600;letter-spacing:-.01em}
h1 small{display:block;font-size:13px;font-weight:400;color:#5c6873;margin-top:5px;letter-spacing:0}
h2{font-size:11px;letter-spacing:.08em;text-transform:uppercase;color:#5c6873;margin:20px 0 5px;font-weight:600}
.due{text-align:right}.due b{display:block;font-size:25px;line-height:1.15;font-weight:600;white-space:nowrap}.due span{color:#5c6873}
.due .mark{color:#a23b2a;border:1px solid;border-radius:3px;padding:0 6px;font-size:11px;letter-spacing:.08em;text-transform:uppercase;white-space:nowrap}
.who{display:grid;grid-template-columns:1fr 1fr;gap:28px;margin-top:14px}.who p{margin:0}.who b{font-weight:600}
.who .small,.small{font-size:11px;color:#5c6873}
table{border-collapse:collapse;width:100%}
td{padding:2.5px 0;vertical-align:baseline}td:last-child{text-align:right;white-space:nowrap;padding-left:16px}
tr+tr td{border-top:1px solid #e6e9ec}
tr.sum td{border-top:1.5px solid #1c2733;font-weight:600;padding-top:5px}
tr.after td{border-top:1px solid #e6e9ec}tr.pay td{font-weight:600}
td i{font-style:normal;color:#93a0ab;font-weight:400}td .why{color:#5c6873;font-size:11px;font-weight:400;padding-left:8px}
svg{width:100%;height:auto;display:block}svg text{font-size:9.5px;fill:#5c6873}svg .grid{stroke:#e6e9ec}svg .base{stroke:#8b97a1}
.legend{margin:4px 0 0;font-size:11px;color:#3c4853}.legend span{margin-right:16px;white-space:nowrap}
.legend i{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:5px}
.seal{border:1px solid #cfd6db;border-radius:4px;padding:10px 14px;margin-top:20px;break-inside:avoid}.seal h2{margin-top:0}
.seal dl{display:grid;grid-template-columns:auto 1fr;gap:2px 14px;margin:0;font-size:11px}.seal dt{color:#5c6873}
.seal dd{margin:0;font-family:"DejaVu Sans Mono","Noto Sans Mono",Consolas,monospace;font-size:9.5px;line-height:1.6;overflow-wrap:anywhere}
.seal p{margin:7px 0 0;font-size:11px;color:#3c4853}code{font-family:"DejaVu Sans Mono","Noto Sans Mono",Consolas,monospace;font-size:10px}
@media print{html{background:none}body{margin:0;padding:0;max-width:none;box-shadow:none}}
)";

std::string grouped(std::string digits) {
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, "\xe2\x80\xaf");  // narrow no-break space
  return digits;
}

// With twelve places, so that points stand below each other; what is less than a fen is paler.
std::string figure(Amount amount) {
  std::string text = (amount.negative() ? -amount : amount).text();
  const auto point = text.find('.');
  std::string whole = text.substr(0, point), places = point == std::string::npos ? "" : text.substr(point + 1);
  places.resize(12, '0');
  return (amount.negative() ? "\xe2\x88\x92" : "") + grouped(whole) + "." + places.substr(0, 2) + "<i>" + places.substr(2) + "</i>";
}

std::string money(Amount amount) {  // whole fen
  std::string text = fen_text(to_fen(amount.negative() ? -amount : amount));
  const auto point = text.find('.');
  return (amount.negative() ? "\xe2\x88\x92" : "") + grouped(text.substr(0, point)) + text.substr(point);
}

std::string row(const char* what, Amount amount, const char* style_name = "", const std::string& why = {}) {
  return std::string("<tr class=\"") + style_name + "\"><td>" + what + (why.empty() ? "" : "<span class=\"why\">" + html_text(why) + "</span>") + "</td><td>" +
         figure(amount) + "</td></tr>";
}

struct Line {
  const char* what;
  Amount Statement::*amount;
  bool always;
};
constexpr Line base_lines[] = {{"Paid by customers for its part", &Statement::gross_revenue, true}, {"Refunds", &Statement::refunds, false},
                               {"VAT taken out", &Statement::vat_excluded, false},                  {"Payment fees", &Statement::payment_fees, false}};
constexpr Line owed_lines[] = {{"Carried from before", &Statement::opening_carry, true},      {"Share of the month", &Statement::share_amount, true},
                               {"Tier true-up", &Statement::tier_trueup, false},              {"Guarantee top-up", &Statement::guarantee_topup, false},
                               {"Penalties", &Statement::penalties, false},                   {"Chargebacks", &Statement::chargebacks, false},
                               {"Adjustments of earlier months", &Statement::prior_period_adj, false},
                               {"Reserve withheld", &Statement::reserve_withheld, false},     {"Reserve released", &Statement::reserve_released, false}};

std::string head(const StatementPage& page) {
  const Statement& s = page.statement;
  const std::string title = page.house ? "The house's own part" : "Settlement statement";
  std::string out = "<header><h1>" + title + "<small>" + ledger::period_text(s.period) + (page.house ? "" : " &nbsp; No. " + html_text(s.no)) +
                    (page.provisional || page.house ? "" : " &nbsp; Version " + std::to_string(s.version)) + "</small></h1><div class=\"due\">";
  if (page.house)  // nobody pays it: what it has earned stays on its account
    return out + (page.provisional ? "<span class=\"mark\">Provisional</span><b>CNY " : "<span>Stands at</span><b>CNY ") + money(s.closing_carry) + "</b></div></header>";
  out += page.provisional ? "<span class=\"mark\">Provisional</span><b>CNY " : "<span>Net payable</span><b>CNY ";
  return out + money(s.net_payable) + "</b></div></header>";
}

std::string name_block(const char* role, const std::string& name, const std::string& id, const std::string& tax_no) {
  std::string out = std::string("<div><h2>") + role + "</h2><p><b>" + html_text(name.empty() ? id : name) + "</b></p>";
  if (!name.empty()) out += "<p class=\"small\">" + html_text(id) + "</p>";
  if (!tax_no.empty()) out += "<p class=\"small\">Taxpayer no. " + html_text(tax_no) + "</p>";
  return out + "</div>";
}

std::string tables(const StatementPage& page) {
  const Statement& s = page.statement;
  std::string out;
  if (page.gross) {
    out += "<h2>What was shared</h2><table>";
    for (const Line& line : base_lines)
      if (line.always || !(s.*(line.amount)).zero()) out += row(line.what, s.*(line.amount));
    out += row("Base of the share", s.share_base, "sum") + "</table>";
  }
  out += std::string("<h2>") + (page.house ? "What it has earned" : "What is owed") + "</h2><table>";
  for (const Line& line : owed_lines)
    if (line.always || !(s.*(line.amount)).zero()) out += row(line.what, s.*(line.amount));
  out += row("Sum", s.net_payable + s.closing_carry, "sum");
  if (!page.house) out += row("Net payable", s.net_payable, "after pay", page.paid.zero() ? "" : "paid until now: CNY " + money(page.paid));
  const std::string next = ledger::period_text(ledger::next_period(s.period));
  return out + row("Carried on", s.closing_carry, "after", "to " + next) + "</table>";
}

std::string facts(const Statement& s) {
  const auto count = [](std::uint64_t n) { return grouped(std::to_string(n)); };
  std::string out = "<p class=\"small\">" + count(s.requests) + " requests &nbsp;·&nbsp; " + count(s.tokens_in) + " tokens in &nbsp;·&nbsp; " + count(s.tokens_out) + " tokens out";
  if (!s.contract.empty()) out += " &nbsp;·&nbsp; contract " + html_text(s.contract) + ", version " + std::to_string(s.contract_version);
  return out + "</p>";
}

// By which rules answers were billed that were not simply delivered.
std::string policies(const StatementPage& page) {
  std::string out;
  for (const auto& one : page.policies) {
    out += "<p class=\"small\">Contract " + html_text(one.contract) + ", version " + std::to_string(one.version) + ":";
    for (const auto& [name, word] : ledger::policy_words(one.terms)) out += " &nbsp;" + html_text(name) + " " + html_text(word);
    out += "</p>";
  }
  return out.empty() ? out : "<h2>Rules for answers that broke off</h2>" + out;
}

std::string seal(const StatementPage& page) {
  const Statement& s = page.statement;
  std::string out = "<section class=\"seal\"><h2>Seal</h2>";
  if (page.signature.empty())
    return out + "<p>The month is not closed: its figures are reckoned from the books as they stand, and nothing is sealed. True-ups, guarantees and reserves "
                 "are booked at its close.</p></section>";
  out += "<dl><dt>Month</dt><dd>" + html_text(s.seal_hash) + "</dd><dt>Signature</dt><dd>" + html_text(page.signature) + "</dd><dt>Public key</dt><dd>" + html_text(page.public_key) +
         "</dd><dt>Batches</dt><dd>" + std::to_string(s.batch_from) + "–" + std::to_string(s.batch_to) + "</dd></dl>";
  return out + "<p>The seal is a SHA-256 over all that the month holds. To check it: compare the public key with the one you pinned; the signature is Ed25519 over the "
               "seal's text. Your own requests: <code>tributary audit check PROOF --key KEY</code> verifies each inclusion proof offline, and the lines of your export sum to "
               "this page.</p></section>";
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string statement_html(const StatementPage& page) {
  const Statement& s = page.statement;
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>Statement " +
                    html_text(page.house ? ledger::period_text(s.period) + "/platform" : s.no) + "</title><style>" + std::string(style) + "</style></head><body>" + head(page) + "<div class=\"who\">" +
                    (page.house ? name_block("House", page.house_name, "Tributary platform", page.house_tax_no)
                                : name_block("Payee", page.legal_name, s.party, page.tax_no) + name_block("Payer", page.house_name, "Tributary platform", page.house_tax_no)) +
                    "</div>";
  out += tables(page);
  const std::string chart = statement_chart(page);
  if (!chart.empty()) out += "<h2>Share a day, CNY</h2>" + chart;
  return out + facts(s) + policies(page) + seal(page) + "</body></html>\n";
}

std::optional<StatementPage> read_statement_page(ledger::Ledger& ledger, const std::string& no, const config::ExportsConfig& config,
                                                 const SigningKey& key, std::string& why) {
  const auto slash = no.find('/');
  const auto period = ledger::parse_period(no.substr(0, slash));
  const std::string party = slash == std::string::npos ? "" : no.substr(slash + 1);
  const auto reader = ledger.reader(why);
  if (reader == nullptr || !reader->begin()) return std::nullopt;
  const auto book = ledger.book();
  StatementPage out;
  Turnover turnover;
  out.house = party == "platform";
  Lines lines(period.value_or(0), out.house ? std::string() : party);
  bool found = false;
  if (period && !party.empty()) {
    reader->usage(*period, [&](const ledger::RequestRow& row) {
      add(row, *book, turnover);
      lines.add(row, *book);
      return true;
    });
    reader->adjustments(*period, [&](const ledger::TransferRow& row) {
      lines.add(row, stands_as(*reader, row));
      return true;
    });
    desk_documents(*reader, [&](const ledger::CommandRow&, const ledger::Document& document, const Attached& attached) {
      if (attached.period != *period) return true;
      add(document, attached, *book, turnover);
      lines.add(document, attached, *book);
      return true;
    });
    for (auto& one : statements(*reader, *period)) {
      if (one.party != party) continue;
      out.statement = std::move(one);
      found = true;
    }
    if (!found) {
      const auto all = reckon(*reader, *book, *period, turnover, out.house ? Whose::everybody : Whose::partners);
      if (const auto at = all.find(party); at != all.end()) out.statement = at->second;
      out.provisional = true;
      found = out.statement.party == party;
    }
  }
  if (found) {
    out.lines = lines.running(out.statement, *period);
    out.paid = paid(*reader, out.statement);
    out.gross = out.house || shows_gross(turnover, *book, party);
    std::set<std::pair<std::string, std::uint32_t>> shown;
    const auto show = [&](const ledger::ContractVersion* version) {
      if (version != nullptr && shown.emplace(version->contract, version->version).second) out.policies.push_back({version->contract, version->version, version->policies});
    };
    if (party.rfind("site:", 0) == 0) versions_of(turnover, *book, party, [&](const ContractKey&, const ledger::ContractVersion& version) { show(&version); });
    if (shown.empty()) show(book->contract(out.statement.contract, out.statement.contract_version));
    for (const auto& row : reader->periods())
      if (row.period == *period) out.signature = row.signature;
    if (!out.signature.empty()) out.public_key = to_hex(key.public_key());
    if (out.house) out.provisional = out.signature.empty();
    if (const auto* legal = config.legal(party)) out.legal_name = legal->legal_name, out.tax_no = legal->tax_no;
    if (const auto* house = config.legal("platform")) out.house_name = house->legal_name, out.house_tax_no = house->tax_no;
  }
  why = reader->error();
  reader->end();
  if (!found || !why.empty()) {
    if (why.empty()) why = "there is no account behind a statement " + no + "; a number is PERIOD/PARTY, such as 2026-11/site:dc-one";
    return std::nullopt;
  }
  return out;
}

}  // namespace trib::settlement
