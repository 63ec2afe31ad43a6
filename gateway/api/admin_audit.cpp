// The doors of what can be proved: verification, proofs, checkpoints, copies of the store.
#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"

namespace trib::api {

namespace bj = boost::json;

namespace {

constexpr std::size_t checkpoints_max = 1000;  // of one answer

std::uint64_t number_of(const std::map<std::string, std::string>& query, const char* name, std::uint64_t otherwise) {
  const auto found = query.find(name);
  if (found == query.end() || found->second.empty() || found->second.size() > 18) return otherwise;
  std::uint64_t out = 0;
  for (const char c : found->second) {
    if (c < '0' || c > '9') return otherwise;
    out = out * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return out;
}

bj::value backup_json(const BackupState& state) {
  bj::object out{{"running", state.running},
                 {"folder", text_or_null(state.dir)},
                 {"pages_done", state.pages_done},
                 {"pages", state.pages},
                 {"failure", text_or_null(state.why)},
                 {"made", nullptr}};
  if (const auto& made = state.made)
    out["made"] = bj::object{{"lsn", made->lsn},
                             {"batch", made->batch},
                             {"head", to_hex(made->head)},
                             {"made_at", ledger::time_text(made->made_ms)},
                             {"bytes", made->bytes},
                             {"sha256", to_hex(made->sha256)}};
  return out;
}

}  // namespace

Answer Admin::audit(const std::vector<std::string>& parts, const AdminRequest& request) {
  const std::string what = parts.size() > 1 ? parts[1] : "";
  const bool get = request.method == "GET";
  if (what == "verify" && parts.size() == 2 && get) return audit_verify();
  if (what == "proof" && parts.size() == 3 && get) return audit_proof(parts[2]);
  if (what == "checkpoints" && parts.size() == 2) {
    if (get) return audit_checkpoints(request.query);
    if (request.method == "POST") return audit_sign();
  }
  return error(get ? 404 : 405, "There is no such administrative door: " + request.method + " " + request.path,
               get ? "unknown_url" : "method_not_allowed");
}

Answer Admin::audit_verify() {
  while (parts_.ledger.post_once()) {
  }
  std::string why;
  // Before the reader's moment, so that the batches that they cover are in it.
  const auto checkpoints = parts_.checkpoints.from(1, SIZE_MAX);
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  const auto verdict = settlement::verify_books(*reader, parts_.ledger.options().shard, &parts_.journal, checkpoints);
  return ok(bj::object{{"ok", verdict.ok},
                       {"place", text_or_null(verdict.place)},
                       {"why", text_or_null(verdict.why)},
                       {"statements", verdict.statements},
                       {"batches", verdict.batches},
                       {"requests", verdict.requests},
                       {"transfers", verdict.transfers},
                       {"checkpoints", verdict.checkpoints},
                       {"journal_records", verdict.records},
                       {"head", to_hex(verdict.head)}});
}

Answer Admin::audit_proof(const std::string& subject) {
  ledger::Unproven why;
  const auto before = parts_.checkpoints.last();
  const auto proof = ledger::prove(parts_.ledger, parts_.checkpoints, subject, parts_.clock.wall_ms(), why);
  if (parts_.checkpoints.last() != before) parts_.checkpoints_grew();
  if (proof) return {200, ledger::proof_text(*proof)};
  return why.unknown ? error(404, why.why, "row_not_found") : error(503, why.why, "no_proof");
}

Answer Admin::audit_checkpoints(const std::string& query) {
  const auto asked = read_query(query);
  const auto last = parts_.checkpoints.last();
  const std::uint64_t newest = last ? last->number : 0;
  const std::uint64_t otherwise = newest > checkpoints_max ? newest - checkpoints_max + 1 : 1;
  bj::array out;
  for (const auto& one : parts_.checkpoints.from(number_of(asked, "from", otherwise), checkpoints_max))
    out.push_back(bj::parse(ledger::to_json(one)));
  return ok(bj::object{{"public_key", to_hex(parts_.signing.public_key())}, {"last", newest}, {"checkpoints", std::move(out)}});
}

Answer Admin::audit_sign() {
  while (parts_.ledger.post_once()) {
  }
  std::string why;
  const auto before = parts_.checkpoints.last();
  const auto made = parts_.checkpoints.make(parts_.ledger, parts_.clock.wall_ms(), why);
  if (!made) return error(503, why, "no_checkpoint");
  if (made != before) parts_.checkpoints_grew();
  return {200, ledger::to_json(*made) + '\n'};
}

Answer Admin::backup(const AdminRequest& request) {
  if (request.method == "GET") return ok(backup_json(parts_.backup.state()));
  if (request.method != "POST") return error(405, request.path + " takes GET or POST only.", "method_not_allowed");
  boost::system::error_code ec;
  const auto body = bj::parse(request.body, ec);
  const auto* const folder = !ec && body.is_object() ? body.get_object().if_contains("folder") : nullptr;
  if (folder == nullptr || !folder->is_string() || folder->get_string().empty() || folder->get_string().front() != '/')
    return error(400, "The body must be {\"folder\": \"…\"}: an absolute path on the gateway's machine.");
  if (const auto why = parts_.backup.begin(folder->get_string().c_str()); !why.empty()) return error(409, why, "backup_running");
  return {202, bj::serialize(backup_json(parts_.backup.state())) + "\n"};
}

}  // namespace trib::api
