"""A C++ program with as much DWARF as one asks for: template-heavy code over types of each unit's own, as real servers have.

    python tests/benchmarks/big_program.py FOLDER [UNITS] [FLAGS...]

14 units have some 100 MB of DWARF over 2.5 MB of code; they take four minutes of CPU to build.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

UNITS = 14
KINDS = 12
FLAGS = ("-O2", "-g")

# @ is the unit's number, $ that of the kind: a request type, its store, and what a server does with both.
HEAD = """\
#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>
namespace unit@ {
template <class T> struct Ring {
  std::deque<T> items; size_t limit = 64;
  void push(T item) { if (items.size() == limit) items.pop_front(); items.push_back(std::move(item)); }
  template <class F> void each(F&& f) const { for (const auto& item : items) f(item); }
};
template <class K, class V> struct Store {
  std::map<K, std::vector<V>> ordered; std::unordered_map<std::string, std::shared_ptr<V>> named; Ring<V> recent;
  std::shared_ptr<V> open(const std::string& name, const K& key, V value) {
    auto& slot = named[name];
    if (!slot) slot = std::make_shared<V>(value);
    auto& list = ordered[key];
    list.push_back(value);
    std::sort(list.begin(), list.end(), [](const V& a, const V& b) { return a.weight() < b.weight(); });
    recent.push(std::move(value));
    return slot;
  }
  template <class F> int fold(F&& f) const {
    int total = 0;
    for (const auto& [key, list] : ordered) for (const auto& value : list) total += f(key, value);
    recent.each([&](const V& value) { total ^= value.weight(); });
    return total;
  }
  std::optional<V> find(const K& key, int weight) const {
    auto at = ordered.find(key);
    if (at == ordered.end()) return std::nullopt;
    auto found = std::find_if(at->second.begin(), at->second.end(), [&](const V& v) { return v.weight() == weight; });
    return found == at->second.end() ? std::nullopt : std::optional<V>(*found);
  }
};
"""
KIND = """\
struct Key$ { int a; std::string b; bool operator<(const Key$& o) const { return a < o.a || (a == o.a && b < o.b); } };
struct Request$ {
  std::string path; std::vector<int> words; std::variant<int, std::string, std::vector<double>> body;
  int weight() const {
    return int(path.size()) * $ + int(words.size()) + std::visit([](const auto& b) {
      if constexpr (std::is_same_v<std::decay_t<decltype(b)>, int>) return b; else return int(b.size()); }, body);
  }
};
int serve$(int n) {
  Store<Key$, Request$> store;
  std::set<std::pair<int, Key$>> seen;
  std::vector<std::function<int(const Request$&)>> hooks;
  hooks.push_back([n](const Request$& r) { return r.weight() + n; });
  hooks.push_back([&](const Request$& r) { return seen.insert({r.weight(), Key${n, r.path}}).second ? $ : -$; });
  for (int i = 0; i < n; i++) {
    Request$ request{"/" + std::to_string(i), {i, n}, i % 2 ? decltype(Request$::body)(i) : std::string("x")};
    auto held = store.open(request.path, Key${i, request.path}, request);
    for (auto& hook : hooks) n += hook(*held);
    if (auto again = store.find(Key${i, ""}, i)) n += again->weight();
  }
  return store.fold([](const Key$& k, const Request$& r) { return k.a * r.weight(); });
}
"""


def build_program(folder: Path, *, units: int = UNITS, flags: Sequence[str] = FLAGS, compiler: str = "g++") -> Path:
    """Build it in ``folder``, two units at a time. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)

    def compiled(number: int) -> None:
        kinds = "".join(KIND.replace("$", str(kind)) for kind in range(1, KINDS + 1))
        run = "int run(int n) { return " + " + ".join(f"serve{kind}(n)" for kind in range(1, KINDS + 1)) + "; }\n}\n"
        (folder / f"unit{number}.cpp").write_text((HEAD + kinds + run).replace("@", str(number)))
        command = [compiler, "-std=c++17", *flags, "-c", f"unit{number}.cpp"]
        subprocess.run(command, check=True, cwd=folder)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compiled, range(units)))
    declared = "".join(f"namespace unit{n} {{ int run(int); }}\n" for n in range(units))
    calls = " + ".join(f"unit{n}::run(c)" for n in range(units))
    (folder / "main.cpp").write_text(f"{declared}int main(int c, char**) {{ return {calls}; }}\n")
    objects = [f"unit{n}.o" for n in range(units)]
    subprocess.run([compiler, "-std=c++17", *flags, "-o", "program", "main.cpp", *objects], check=True, cwd=folder)
    return folder / "program"


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else UNITS
    built = build_program(Path(sys.argv[1]), units=count, flags=sys.argv[3:] or FLAGS)
    sys.stdout.write(f"{built}\n")
