// An online copy of the store, an SQLite file whichever engine the store is on: one moment of it, while customers are served and the poster posts. A folder
// counts as a backup when its manifest is there, which is written last and names the copy's SHA-256. Put
// back, the journal's tail is posted again in the same batches with the same seals.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "gateway/base/base.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

struct Backup {  // what a manifest says
  metering::Lsn lsn = 0;      // posted in the copy
  std::uint64_t batch = 0;    // its last, and that one's hash
  Sha256 head{};
  std::int64_t made_ms = 0;   // Unix ms
  std::uint64_t bytes = 0;    // of the copy
  Sha256 sha256{};
  friend bool operator==(const Backup&, const Backup&) = default;
};

struct BackupOptions {
  std::string store;      // its address
  std::string vfs;        // of the store
  std::uint16_t shard = 0;
  std::string dir;        // made when missing; refused when it holds a backup
  int step_pages = 256;   // between two calls of `progress`
  // Pages (on a server: rows) copied and in all; false: give up. Another turn of the store's readers and writer runs between.
  std::function<bool(std::uint64_t done, std::uint64_t all)> progress;
};

inline constexpr const char* backup_store_name = "ledger.db";
inline constexpr const char* backup_manifest_name = "manifest.json";

// Blocks until the copy, its manifest and their names are on the disk. None with the reason.
std::optional<Backup> make_backup(Disk& disk, const BackupOptions& options, std::int64_t wall_ms, std::string& why);

// Reads a folder's manifest and checks the copy against it. None with the reason.
std::optional<Backup> check_backup(Disk& disk, const std::string& dir, std::string& why);

// The small record beside the store of the backup that reaches furthest: what the journal's trimming asks.
// Only ever moves forward.
std::error_code remember_backup(Disk& disk, const std::string& path, const Backup& backup, const std::string& dir);
std::optional<Backup> remembered_backup(Disk& disk, const std::string& path);  // none: none, or it cannot be read

}  // namespace trib::ledger
