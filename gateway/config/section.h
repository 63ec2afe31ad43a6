// One map of the file, read key by key through its rows. Unknown keys and keys not honoured yet are
// refused when the section is opened. Every call throws ConfigError.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/config/document.h"
#include "gateway/config/keys.h"
#include "gateway/money/money.h"

namespace trib::config {

class Section {
 public:
  // The file's own top level.
  Section(const Document& document, std::span<const Key> keys);
  // The same where the whole document is one map, which messages call `path`.
  Section(const Document& document, std::span<const Key> keys, std::string path);

  bool given(std::string_view key) const { return node(key) != nullptr; }

  std::int64_t duration_ms(std::string_view key) const;
  std::uint64_t size(std::string_view key) const;
  std::uint64_t count(std::string_view key) const;
  std::uint32_t count32(std::string_view key) const {
    return static_cast<std::uint32_t>(count(key));
  }
  bool flag(std::string_view key) const;
  std::string text(std::string_view key) const;  // one line, not empty unless absent
  std::string id(std::string_view key) const;
  std::string path(std::string_view key) const;
  Address address(std::string_view key) const;
  std::optional<std::int64_t> date(std::string_view key) const;
  money::Price price(std::string_view key) const;
  money::Amount amount(std::string_view key) const;
  std::size_t choice(std::string_view key) const;             // index in the row's words
  Section section(std::string_view key) const;                // an absent one reads as empty
  std::vector<Section> sections(std::string_view key) const;  // of a list; absent: none
  // The same, where a single map may stand for a list of one.
  std::vector<Section> one_or_more(std::string_view key) const;
  std::vector<std::pair<std::string, std::string>> models(std::string_view key) const;
  // Each value of a `texts` list with its place.
  struct Item {
    std::string text, path;
    const Node* node;
  };
  std::vector<Item> texts(std::string_view key) const;

  // Complains about the key's value, or about the whole section where the key is absent.
  [[noreturn]] void fail(std::string_view key, const std::string& why) const;
  [[noreturn]] void fail(const std::string& why) const;
  [[noreturn]] void fail_at(const Item& item, const std::string& why) const;
  std::string path_of(std::string_view key) const;
  std::string_view fallback(std::string_view key) const { return row(key).fallback; }
  std::string place() const;  // "line 12"
  const Document& document() const { return *document_; }
  const std::string& path() const { return path_; }

 private:
  Section(const Document& document, const Node* node, const Node& place, std::string path,
          std::string pattern, std::span<const Key> keys);
  void open() const;
  const Node* node(std::string_view key) const;  // null: absent, or an empty section or list
  const Key& row(std::string_view key) const;
  const Key* find_row(std::string_view key) const;
  std::vector<std::string> known() const;
  std::string scalar(std::string_view key) const;
  std::string money_text(std::string_view key) const;
  std::string scalar_of(const Node& node, const std::string& path) const;
  void check_count(std::string_view key, std::size_t count) const;
  [[noreturn]] void fail_bounds(std::string_view key) const;
  Section child(const Node& node, std::string path, std::string pattern) const;

  const Document* document_;
  const Node* node_;     // null: absent
  const Node* place_;    // for messages, never null
  std::string path_;     // with indexes: "sites[1].engines[0]"
  std::string pattern_;  // as in the rows: "sites[].engines[]"
  std::span<const Key> keys_;
};

}  // namespace trib::config
