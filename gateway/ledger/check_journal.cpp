// The journal, as far back as it is kept, against rows and seals.
#include <algorithm>

#include "gateway/ledger/check.h"

namespace trib::ledger {

bool Check::journal() {
  if (!journal_) return true;
  if (last_.to_lsn > journal_->last()) return fail("journal", "it ends at LSN " + std::to_string(journal_->last()) + ", before the last batch");
  for (const auto& [to_lsn, row] : recent_) {
    const Sha256 kept = journal_->hash_at(to_lsn);
    if (kept != Sha256{} && kept != row.journal_hash) return fail("journal, record " + std::to_string(to_lsn), "batch " + std::to_string(row.id) + " was sealed over another");
  }
  // A running gateway may drop its oldest segment between our asking and our reading.
  for (int round = 0; round < 3; ++round) {
    const Lsn first = std::max({journal_->first(), first_, Lsn{1}});
    if (journal_records(first)) return true;
    if (!out_.place.empty()) return false;
  }
  return fail("journal", "its records went while they were read");
}

// False without a place: the records to begin with have gone.
bool Check::journal_records(Lsn first) {
  matched_ = 0;
  along_ = db_.prepare("SELECT " + usage_columns + " FROM usage WHERE place >= ? AND shard = ? ORDER BY place", Rows::many);
  along_.reset().bind(place_of(shard_, first)).bind(shard_);
  at_ = {};
  // SEALs come after their batch, so the reading goes on past the cursor.
  const auto error = journal_->read(first, [&](Lsn lsn, const metering::Record& record) {
    ++out_.records;
    if (const auto* seal = std::get_if<metering::Seal>(&record)) {
      const auto batch = recent_.find(seal->to_lsn);
      if (batch == recent_.end()) return true;  // older than what is kept, or posted since we began
      return (batch->second.hash == seal->chain && batch->second.from_lsn == seal->from_lsn) ||
             fail("journal, record " + std::to_string(lsn), "its SEAL is not that of batch " + std::to_string(batch->second.id));
    }
    if (lsn > last_.to_lsn) return true;
    if (const auto* final = std::get_if<metering::Final>(&record)) return journaled(lsn, record, *final);
    if (const auto* command = std::get_if<metering::Command>(&record)) return journaled(lsn, record, *command);
    return true;
  });
  if (error == std::errc::result_out_of_range) return false;
  if (error) return fail("journal", error.message());
  if (!out_.place.empty()) return false;
  Statement select = db_.prepare("SELECT count(*) FROM usage WHERE place >= ? AND shard = ?");
  if (!select.reset().bind(place_of(shard_, first)).bind(shard_).row()) return fail("table usage", db_.error());
  return select.number<std::uint64_t>() == matched_ || fail("table usage", "a row that the journal does not know");
}

// The row that the record at `lsn` was posted as is the next one, but where a request was told twice: that one is sought by its id.
bool Check::row_of(Lsn lsn, const RequestId& id, UsageRow& row, bool& found) {
  while (along_ && at_.lsn < lsn) {
    const Statement::Step step = along_.step();
    if (step == Statement::Step::row) read(along_, at_);
    else if (step == Statement::Step::done) along_ = {};
    else return ended(step, "usage");
  }
  found = at_.lsn == lsn && at_.id == id;
  if (found) {
    row = at_;
    return true;
  }
  if (!find_usage_) find_usage_ = db_.prepare("SELECT " + usage_columns + " FROM usage WHERE request_id = ? AND shard = ?");
  const std::string bytes = id_bytes(id);
  const Statement::Step step = find_usage_.reset().blob(bytes).bind(shard_).step();
  if (step == Statement::Step::failed) return ended(step, "usage");
  found = step == Statement::Step::row;
  if (found) read(find_usage_, row);
  find_usage_.reset();
  return true;
}

bool Check::journaled(Lsn lsn, const metering::Record& record, const metering::Final& final) {
  const std::string place = "journal, record " + std::to_string(lsn) + ", request " + final.admit.id.text();
  UsageRow row;
  bool found = false;
  if (!row_of(lsn, final.admit.id, row, found)) return false;
  if (!found) return fail(place, "it was posted without a row");
  const Sha256 content = sha256(metering::encode(record));
  if (row.content_hash != std::string(reinterpret_cast<const char*>(content.data()), 16)) return quarantined(lsn, record, final.admit.id.text());
  if (row.lsn > lsn) return fail(place, "an earlier record than its row's");
  if (row.lsn < lsn) return true;  // told twice
  ++matched_;
  if (row.state == State::quarantined) return true;  // what was unknown then may be known now
  const Rated rated = rate(final, book_);
  std::vector<Part> parts;
  std::vector<AttemptRow> attempts;
  const bool same = rated.quarantine.empty() && row.gross == rated.gross && decode_detail(row, attempts, parts) && parts == rated.parts;
  return same || fail(in_batch("usage", row.batch) + ", request " + row.id.text(), "rating its record again gives another charge");
}

bool Check::journaled(Lsn lsn, const metering::Record& record, const metering::Command& command) {
  Statement select = db_.prepare("SELECT kind, body FROM command WHERE shard = ? AND id = ?");
  if (const auto step = select.reset().bind(shard_).bind(command.id).step(); step != Statement::Step::row) {
    if (step == Statement::Step::failed) return ended(step, "command");
    return fail("journal, record " + std::to_string(lsn) + ", command " + command.id, "it was posted without a row");
  }
  if (select.text() == command.kind && select.text() == command.body) return true;
  return quarantined(lsn, record, command.id);
}

bool Check::quarantined(Lsn lsn, const metering::Record& record, const std::string& subject) {
  Statement select = db_.prepare("SELECT record FROM quarantine WHERE shard = ? AND lsn = ?");
  if (select.reset().bind(shard_).bind(static_cast<std::int64_t>(lsn)).row() && select.bytes() == metering::encode(record)) return true;
  return fail("journal, record " + std::to_string(lsn) + ", " + subject, "it differs from its row and is not in quarantine");
}

}  // namespace trib::ledger
