#include "gateway/ledger/backup.h"

#include <openssl/evp.h>
#include <sqlite3.h>

#include <memory>
#include <vector>

#include "gateway/ledger/checkpoint.h"
#include "gateway/ledger/copy.h"
#include "gateway/ledger/period.h"
#include "gateway/ledger/reader.h"
#include "gateway/ledger/schema.h"

namespace trib::ledger {
namespace {

constexpr std::string_view format = "tributary-backup/1";
constexpr std::size_t piece_bytes = 1u << 20;
constexpr std::uint64_t manifest_bytes_max = 64u << 10;
constexpr int busy_rounds_max = 100'000;  // a lock is held for less than a commit

std::string manifest_text(const Backup& backup, const std::string& dir) {
  std::string out = "{\"format\":\"" + std::string(format) + "\",\"file\":\"" + backup_store_name + '"';
  const auto number = [&](const char* name, std::uint64_t value) { out += std::string(",\"") + name + "\":" + std::to_string(value); };
  const auto text = [&](const char* name, std::string_view value) {
    out += std::string(",\"") + name + "\":";
    json::quote(value, out);
  };
  number("lsn", backup.lsn);
  number("batch", backup.batch);
  text("head", to_hex(backup.head));
  number("made_ms", static_cast<std::uint64_t>(backup.made_ms));
  text("made_at", time_text(backup.made_ms));
  number("bytes", backup.bytes);
  text("sha256", to_hex(backup.sha256));
  if (!dir.empty()) text("folder", dir);
  return out + "}\n";
}

std::optional<Backup> read_manifest(std::string_view text) {
  json::Cursor cursor(text, {.depth = 2, .unique_keys = true});
  Backup out;
  bool fine = cursor.enter_object();
  std::string_view key;
  std::string word, said;
  int seen = 0;
  const auto number = [&](auto& to) {
    std::int64_t value = 0;
    fine = cursor.read_integer(value) && value >= 0 && fine;
    to = static_cast<std::remove_reference_t<decltype(to)>>(value);
    ++seen;
  };
  const auto hash = [&](Sha256& to) {
    cursor.read_string(word);
    const auto value = read_digest(word);
    fine = value && fine;
    if (value) to = *value;
    ++seen;
  };
  while (fine && cursor.next_key(key)) {
    if (key == "lsn") number(out.lsn);
    else if (key == "batch") number(out.batch);
    else if (key == "head") hash(out.head);
    else if (key == "made_ms") number(out.made_ms);
    else if (key == "bytes") number(out.bytes);
    else if (key == "sha256") hash(out.sha256);
    else if (key == "format") cursor.read_string(said);
    else cursor.skip();
  }
  if (!fine || !cursor.finish() || seen != 6 || said != format) return std::nullopt;
  return out;
}

// Where the source stands, of the moment that its read transaction has.
bool where(Reader& reader, std::uint16_t shard, Backup& out, std::string& why) {
  out.lsn = reader.cursor(shard);
  Statement last = reader.connection().prepare("SELECT id, to_lsn, hash FROM batch WHERE shard = ? ORDER BY id DESC LIMIT 1");
  metering::Lsn end = 0;
  if (last.reset().bind(shard).row()) {
    out.batch = last.number<std::uint64_t>();
    end = last.number<std::uint64_t>();
    out.head = last.digest();
  }
  if (end == out.lsn && !last.damaged()) return true;
  why = "the store's cursor and its last batch differ; `tributary audit verify` tells more";
  return false;
}

struct Closed {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};

// Page by page inside the source's one read transaction, so that what the poster commits meanwhile neither
// shows in the copy nor makes it begin again.
bool copy_pages(Connection& from, const std::string& to, const BackupOptions& options, std::string& why) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(to.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, Closed> copy(raw);
  // A half copy is thrown away, and the whole is synced at its end.
  if (opened != SQLITE_OK || sqlite3_exec(raw, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", nullptr, nullptr, nullptr) != SQLITE_OK) {
    why = to + ": " + (raw != nullptr ? sqlite3_errmsg(raw) : "out of memory");
    return false;
  }
  sqlite3_backup* const backup = sqlite3_backup_init(raw, "main", from.raw(), "main");
  if (backup == nullptr) {
    why = to + ": " + sqlite3_errmsg(raw);
    return false;
  }
  int step = SQLITE_OK, busy = 0;
  bool go_on = true;
  while (go_on && (step == SQLITE_OK || ((step == SQLITE_BUSY || step == SQLITE_LOCKED) && ++busy < busy_rounds_max))) {
    step = sqlite3_backup_step(backup, options.step_pages);
    const auto all = static_cast<std::uint64_t>(sqlite3_backup_pagecount(backup));
    const auto left = static_cast<std::uint64_t>(sqlite3_backup_remaining(backup));
    if (options.progress) go_on = options.progress(all - left, all);
  }
  const int finished = sqlite3_backup_finish(backup);
  if (step == SQLITE_DONE && finished == SQLITE_OK && go_on) return true;
  why = go_on ? "copying the store: " + std::string(sqlite3_errstr(step == SQLITE_DONE ? finished : step)) : "the backup was given up";
  return false;
}

// Of a store on a server: its rows, at the moment of the read transaction, in a file that every command reads.
bool copy_to_file(Connection& from, const std::string& to, const BackupOptions& options, std::string& why) {
  Connection copy;
  return copy.open(to, {}, Connection::Mode::write, why) && ensure_schema(copy, why) && copy_rows(from, copy, options.progress, why);
}

bool hash_file(Disk& disk, const std::string& path, bool sync, Backup& out, std::string& why) {
  struct Freed {
    void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
  };
  const std::unique_ptr<EVP_MD_CTX, Freed> context(EVP_MD_CTX_new());
  TRIB_ASSERT(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  std::unique_ptr<File> file;
  std::error_code ec = disk.open(path, sync ? Disk::Mode::write : Disk::Mode::read, file);
  std::vector<char> piece(piece_bytes);
  std::size_t got = 1;
  for (out.bytes = 0; !ec && got > 0; out.bytes += got) {
    got = 0;
    ec = file->read(out.bytes, piece, got);
    if (!ec) TRIB_ASSERT(EVP_DigestUpdate(context.get(), piece.data(), got) == 1);
  }
  if (!ec && sync) ec = file->sync_data();
  TRIB_ASSERT(EVP_DigestFinal_ex(context.get(), out.sha256.data(), nullptr) == 1);
  if (ec) why = path + ": " + ec.message();
  return !ec;
}

bool done(std::error_code ec, const std::string& path, std::string& why) {
  if (ec) why = path + ": " + ec.message();
  return !ec;
}

}  // namespace

std::optional<Backup> make_backup(Disk& disk, const BackupOptions& options, std::int64_t wall_ms, std::string& why) {
  const std::string manifest = options.dir + "/" + backup_manifest_name, copy = options.dir + "/" + backup_store_name;
  const std::string part = copy + ".part";
  if (!done(disk.make_dirs(options.dir), options.dir, why)) return std::nullopt;
  for (const std::string& path : {manifest, copy}) {
    std::unique_ptr<File> there;
    if (!disk.open(path, Disk::Mode::read, there)) {
      why = options.dir + " holds a backup or a store already; name another folder";
      return std::nullopt;
    }
  }
  for (const char* ending : {"", "-journal", "-wal", "-shm"}) {  // of one that was broken off
    const auto ec = disk.remove(part + ending);
    if (ec && ec != std::errc::no_such_file_or_directory) return done(ec, part, why), std::nullopt;
  }
  const auto reader = Reader::open(options.store, options.vfs, why);
  if (reader == nullptr) return std::nullopt;
  Backup out;
  out.made_ms = wall_ms;
  if (!reader->begin()) {
    why = store_name(options.store) + ": " + reader->connection().error();
    return std::nullopt;
  }
  const bool pages = reader->connection().engine() == Engine::sqlite;
  const bool copied = where(*reader, options.shard, out, why) &&
                      (pages ? copy_pages(reader->connection(), part, options, why) : copy_to_file(reader->connection(), part, options, why));
  reader->end();
  if (!copied) {
    disk.remove(part);
    return std::nullopt;
  }
  if (!hash_file(disk, part, true, out, why) || !done(disk.rename(part, copy), copy, why) ||
      !done(disk.sync_dir(options.dir), options.dir, why) ||
      !done(write_file(disk, manifest, manifest_text(out, {})), manifest, why)) {
    return std::nullopt;
  }
  return out;
}

std::optional<Backup> check_backup(Disk& disk, const std::string& dir, std::string& why) {
  std::string text;
  const std::string manifest = dir + "/" + backup_manifest_name;
  if (!done(read_file(disk, manifest, text, manifest_bytes_max), manifest, why)) return std::nullopt;
  const auto said = read_manifest(text);
  if (!said) {
    why = manifest + ": not a backup's manifest";
    return std::nullopt;
  }
  Backup is = *said;
  const std::string copy = dir + "/" + backup_store_name;
  if (!hash_file(disk, copy, false, is, why)) return std::nullopt;
  if (is == *said) return said;
  why = copy + ": it is not what the manifest says";
  return std::nullopt;
}

std::error_code remember_backup(Disk& disk, const std::string& path, const Backup& backup, const std::string& dir) {
  const auto held = remembered_backup(disk, path);
  if (held && held->lsn > backup.lsn) return {};
  return write_file(disk, path, manifest_text(backup, dir));
}

std::optional<Backup> remembered_backup(Disk& disk, const std::string& path) {
  std::string text;
  if (read_file(disk, path, text, manifest_bytes_max)) return std::nullopt;
  return read_manifest(text);
}

}  // namespace trib::ledger
