#include <algorithm>
#include <map>

#include "gateway/settlement/statement_page.h"

namespace trib::settlement {
namespace {

using money::Amount;

constexpr int width = 720, height = 190, left = 64, right = 6, top = 10, bottom = 22;  // px
constexpr int plot = height - top - bottom;
constexpr std::size_t series_max = 6;  // the smaller ones are put together
constexpr const char* colours[] = {"#1f5f8b", "#e08e45", "#4f8f5b", "#a14a76", "#8a7f5c", "#5c6bc0", "#9aa5ad"};

struct Series {
  std::string name;
  Amount total;
  std::map<int, Amount> days;
};

std::vector<Series> read_series(const StatementPage& page) {
  std::map<std::string, Series> all;
  for (const auto& [key, line] : page.lines) {
    if (key.model.empty() || line.share_amount <= Amount{} || ledger::parse_period(key.day.substr(0, 7)) != page.statement.period) continue;
    Series& one = all[key.site.empty() ? key.model : key.site + " · " + key.model];
    one.days[std::stoi(key.day.substr(8))] += line.share_amount;
    one.total += line.share_amount;
  }
  std::vector<Series> out;
  for (auto& [name, one] : all) {
    one.name = name;
    out.push_back(std::move(one));
  }
  std::sort(out.begin(), out.end(), [](const Series& a, const Series& b) { return a.total != b.total ? a.total > b.total : a.name < b.name; });
  if (out.size() <= series_max) return out;
  Series rest;
  rest.name = std::to_string(out.size() - series_max) + " others";
  for (std::size_t i = series_max; i < out.size(); ++i)
    for (const auto& [day, amount] : out[i].days) rest.days[day] += amount;
  out.resize(series_max);
  out.push_back(std::move(rest));
  return out;
}

// The least of 1, 2, 5 x 10^n that is not below `most`.
Amount round_up(Amount most) {
  money::int128 unit = 1;
  for (;;) {
    for (const int step : {1, 2, 5})
      if (unit * step >= most.pico()) return Amount::pico(unit * step);
    unit *= 10;
  }
}

// Hundredths of a pixel, in whole numbers.
std::string px(money::int128 hundredths) {
  const auto value = static_cast<long long>(hundredths);
  const std::string rest = std::to_string(value % 100);
  return std::to_string(value / 100) + "." + (rest.size() == 1 ? "0" : "") + rest;
}

std::string rect(money::int128 x, money::int128 y, money::int128 w, money::int128 h, const char* colour, const std::string& title) {
  return "<rect x=\"" + px(x) + "\" y=\"" + px(y) + "\" width=\"" + px(w) + "\" height=\"" + px(h) + "\" fill=\"" + colour + "\"><title>" + html_text(title) +
         "</title></rect>";
}

std::string words(int x, int y, const char* anchor, const std::string& text) {
  return "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\" text-anchor=\"" + anchor + "\">" + html_text(text) + "</text>";
}

std::string grid(Amount most) {
  std::string out;
  for (int i = 0; i <= 4; ++i) {
    const int y = top + plot - plot * i / 4;
    out += "<line x1=\"" + std::to_string(left) + "\" x2=\"" + std::to_string(width - right) + "\" y1=\"" + std::to_string(y) + "\" y2=\"" + std::to_string(y) +
           "\" class=\"" + (i == 0 ? "base" : "grid") + "\"/>";
    if (i % 2 == 0) out += words(left - 8, y + 3, "end", Amount::pico(most.pico() * i / 4).text());
  }
  return out;
}

}  // namespace

std::string statement_chart(const StatementPage& page) {
  const auto series = read_series(page);
  std::map<int, Amount> sums;
  for (const Series& one : series)
    for (const auto& [day, amount] : one.days) sums[day] += amount;
  if (sums.empty()) return {};
  Amount most;
  for (const auto& [day, sum] : sums) most = std::max(most, sum);
  most = round_up(most);
  const ledger::Period period = page.statement.period;
  const int days = static_cast<int>((ledger::period_end_ms(period) - ledger::period_begin_ms(period)) / ledger::day_ms);
  const int slot = (width - left - right) * 100 / days;
  std::string out = "<svg viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(height) + "\" role=\"img\" aria-label=\"Share a day, in CNY\">" + grid(most);
  for (int day = 1; day <= days; ++day) {
    money::int128 y = static_cast<money::int128>(top + plot) * 100;
    for (std::size_t i = 0; i < series.size(); ++i) {
      const auto found = series[i].days.find(day);
      if (found == series[i].days.end()) continue;
      // Amounts stay below 10^30 pico in a month: the product fits.
      const money::int128 tall = found->second.pico() * plot * 100 / most.pico();
      y -= tall;
      out += rect(left * 100 + (day - 1) * slot + slot / 8, y, slot * 3 / 4, tall, colours[i], std::to_string(day) + ", " + series[i].name + ": " + found->second.text());
    }
    if (day == 1 || day % 5 == 0) out += words(left + ((day - 1) * slot + slot / 2) / 100, height - 7, "middle", std::to_string(day));
  }
  out += "</svg><p class=\"legend\">";
  for (std::size_t i = 0; i < series.size(); ++i)
    out += "<span><i style=\"background:" + std::string(colours[i]) + "\"></i>" + html_text(series[i].name) + "</span>";
  return out + "</p>";
}

}  // namespace trib::settlement
