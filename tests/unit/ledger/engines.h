// Two stores side by side: every value of every row.
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "gateway/ledger/schema.h"
#include "gateway/ledger/terms.h"
#include "tests/unit/ledger/world.h"

namespace trib::test {

using namespace trib::ledger;

inline std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

// Every row of every table, its values as bytes: integers big-endian in binary are told apart by their column.
inline std::map<std::string, std::vector<std::string>> rows_of(const std::string& address) {
  std::map<std::string, std::vector<std::string>> out;
  Connection db;
  std::string why;
  REQUIRE(db.open(address, "", Connection::Mode::read, why));
  for (const std::string& table : store_tables()) {
    std::vector<std::string> names, types;
    Statement columns = db.prepare(columns_text(db.engine(), table));
    while (columns.row()) {
      names.emplace_back(columns.text());
      types.emplace_back(columns.text());
    }
    REQUIRE_FALSE(names.empty());
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    // The generated columns, too.
    if (table == "usage") list += ", shard, lsn";
    Statement select = db.prepare("SELECT " + list + " FROM " + table, Rows::many);
    auto& rows = out[table];
    Statement::Step step{};
    while ((step = select.step()) == Statement::Step::row) {
      std::string row;
      const std::size_t count = names.size() + (table == "usage" ? 2 : 0);
      for (std::size_t i = 0; i < count; ++i) {
        row += i < names.size() ? names[i] + '=' : std::string("generated=");
        if (select.is_null()) {
          row += "NULL ";
          select.skip();
        } else if (i >= names.size() || types[i] == "INTEGER" || types[i] == "bigint") {
          row += std::to_string(select.integer()) + ' ';
        } else {
          row += hex(select.bytes()) + ' ';
        }
      }
      rows.push_back(row);
    }
    REQUIRE(step == Statement::Step::done);
    std::sort(rows.begin(), rows.end());
  }
  return out;
}

inline void require_same(const std::string& one, const std::string& other) {
  const auto left = rows_of(one), right = rows_of(other);
  for (const auto& [table, rows] : left) {
    INFO(table);
    REQUIRE(rows == right.at(table));
  }
}

// Requests over three months, some told twice, some with another content; top-ups; notes. `round` tells the ids apart.
inline void append_some(FakeJournal& journal, Rng& rng, int count, int round = 0) {
  for (int i = 0; i < count; ++i) {
    auto final = random_final(rng, noon + i * 20'000'000LL);
    journal.append(final.admit);
    journal.append(final);
    if (rng.below(12) == 0) journal.append(final);
    if (rng.below(25) == 0) {
      ++final.counts.output;
      journal.append(final);
    }
    const std::string n = std::to_string(round) + "-" + std::to_string(i);
    if (rng.below(20) == 0) journal.append(metering::Command{"topup:acme:" + n, "topup", noon + i, topup_terms({"acme", money::Amount::pico(7)})});
    if (rng.below(60) == 0) journal.append(metering::Command{"note:" + n, "note", noon, "注 \\ \" \n"});
  }
}

}  // namespace trib::test
