#include "gateway/ledger/copy.h"

#include <optional>
#include <vector>

#include "gateway/ledger/schema.h"

namespace trib::ledger {
namespace {

constexpr std::uint64_t told_every = 4096;

enum class Kind { integer, text, blob };
struct Columns {
  std::string names;  // "a, b, c"
  std::vector<Kind> kinds;
};

std::optional<Columns> columns_of(Connection& db, const std::string& table) {
  Columns out;
  Statement select = db.prepare(columns_text(db.engine(), table));
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    out.names += (out.names.empty() ? "" : ", ") + std::string(select.text());
    const std::string_view type = select.text();
    const bool integer = type == "INTEGER" || type == "bigint";
    out.kinds.push_back(integer ? Kind::integer : type == "TEXT" || type == "text" ? Kind::text : Kind::blob);
  }
  if (step == Statement::Step::failed || out.kinds.empty()) return std::nullopt;
  return out;
}

std::optional<std::uint64_t> count(Connection& db, const std::string& table) {
  Statement select = db.prepare("SELECT count(*) FROM " + table);
  return select.row() ? std::optional(select.number<std::uint64_t>()) : std::nullopt;
}

void put(Statement& from, Statement& to, const std::vector<Kind>& kinds) {
  to.reset();
  for (const Kind kind : kinds) {
    if (from.is_null()) {
      to.null();
      from.skip();
    } else if (kind == Kind::integer) {
      to.bind(from.integer());
    } else if (kind == Kind::text) {
      to.bind(from.text());
    } else {
      to.blob(from.bytes());
    }
  }
}

// False: see both connections' errors.
bool copy_table(Connection& from, Connection& to, const std::string& table, const std::function<bool()>& each) {
  const auto columns = columns_of(from, table);
  if (!columns) return false;
  Statement select = from.prepare("SELECT " + columns->names + " FROM " + table, Rows::many);
  Statement insert = to.prepare_bulk(table, columns->names);
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    put(select, insert, columns->kinds);
    if (select.damaged() || !insert.done() || !each()) return false;
  }
  return step == Statement::Step::done;
}

}  // namespace

bool copy_rows(Connection& from, Connection& to, const CopyProgress& progress, std::string& why) {
  std::uint64_t all = 0, done = 0;
  const auto broke = [&](const std::string& table, const char* what) {
    why = std::string(what) + " table " + table;
    for (const std::string& error : {from.error(), to.error()})
      if (!error.empty() && error != "not an error") why += ": " + error;
    to.rollback();
    return false;
  };
  for (const std::string& table : store_tables()) {
    const auto rows = count(from, table);
    if (!rows) return broke(table, "counting");
    all += *rows;
  }
  if (!to.begin()) return broke("meta", "beginning before");
  for (const std::string& table : store_tables()) {
    if (count(to, table) != 0) return broke(table, "the store that is to be written is not empty:");
    bool given_up = false;
    const bool copied = copy_table(from, to, table, [&] {
      given_up = ++done % told_every == 0 && progress && !progress(done, all);
      return !given_up;
    });
    if (given_up) why = "the copy was given up";
    if (given_up) to.rollback();
    if (given_up) return false;
    if (!copied || count(to, table) != count(from, table)) return broke(table, "copying");
  }
  if (!to.commit()) return broke("meta", "committing after");
  if (progress) progress(all, all);
  return true;
}

bool copy_store(const std::string& from, const std::string& to, const CopyProgress& progress, std::string& why) {
  Connection source, target;
  if (!source.open(from, {}, Connection::Mode::read, why) || !check_schema(source, why)) return false;
  if (!target.open(to, {}, Connection::Mode::write, why) || !target.become_writer(0, why)) return false;
  if (target.engine() == Engine::sqlite ? !ensure_schema(target, why) : !check_rights(target, why)) return false;
  if (!source.begin_read()) {
    why = store_name(from) + ": " + source.error();
    return false;
  }
  const bool copied = copy_rows(source, target, progress, why);
  source.rollback();
  return copied;
}

}  // namespace trib::ledger
