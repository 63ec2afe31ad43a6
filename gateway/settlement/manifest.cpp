#include "gateway/settlement/manifest.h"

#include "gateway/base/json.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

constexpr std::string_view signature_mark = ",\"signature\":\"";

}  // namespace

ExportFile make_manifest(const ManifestHead& head, const std::vector<ExportFile>& files, const SigningKey& key) {
  std::string out = "{\"schema_version\":" + std::to_string(export_schema_version);
  const auto text = [&](std::string_view name, std::string_view value) {
    out += ',';
    json::quote(name, out);
    out += ':';
    json::quote(value, out);
  };
  text("period", head.period);
  if (!head.party.empty()) text("party", head.party);
  text("currency", currency);
  out += ",\"batch_to\":" + std::to_string(head.batch_to);
  text("seal_hash", head.seal_hash);
  out += head.provisional ? ",\"provisional\":true" : ",\"provisional\":false";
  out += ",\"files\":[";
  for (const ExportFile& file : files) {
    out += &file == &files.front() ? "{\"name\":" : ",{\"name\":";
    json::quote(file.name, out);
    out += ",\"rows\":" + std::to_string(file.rows);
    text("sha256", to_hex(sha256(file.content)));
    text("sum_debit", file.sum_debit.text());
    text("sum_credit", file.sum_credit.text());
    out += '}';
  }
  out += ']';
  text("public_key", to_hex(key.public_key()));
  const std::string signature = key.sign(out + '}');
  return {"manifest.json", out + std::string(signature_mark) + to_hex(signature) + "\"}\n", 0, {}, {}};
}

const std::string format_names = "csv, jsonl, xlsx, hledger, beancount, voucher, focus or einvoice";

std::optional<Format> parse_format(std::string_view text) {
  if (text == "csv") return Format::csv;
  if (text == "jsonl") return Format::jsonl;
  if (text == "xlsx") return Format::xlsx;
  if (text == "hledger") return Format::hledger;
  if (text == "beancount") return Format::beancount;
  if (text == "voucher") return Format::voucher;
  if (text == "focus") return Format::focus;
  if (text == "einvoice") return Format::einvoice;
  return std::nullopt;
}

std::error_code write_export(Disk& disk, const std::string& dir, const Export& made) {
  if (const auto ec = disk.make_dirs(dir)) return ec;
  for (const ExportFile& file : made.files) {
    if (const auto ec = write_file(disk, dir + "/" + file.name, file.content)) return ec;
  }
  return {};
}

bool manifest_fits(const std::string& text) {
  const auto mark = text.rfind(signature_mark);
  if (mark == std::string::npos) return false;
  std::string public_key, signature;
  json::Cursor cursor(text, {.depth = 8, .unique_keys = true});
  if (!cursor.enter_object()) return false;
  std::string_view name;
  while (cursor.next_key(name)) {
    if (name == "public_key") {
      cursor.read_string(public_key);
    } else if (name == "signature") {
      cursor.read_string(signature);
    } else {
      cursor.skip();
    }
  }
  const auto key = from_hex(public_key), given = from_hex(signature);
  return cursor.finish() && key && given && signature_fits(*key, text.substr(0, mark) + '}', *given);
}

}  // namespace trib::settlement
