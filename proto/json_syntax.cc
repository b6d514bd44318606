#include "proto/json_syntax.h"

#include <algorithm>
#include <set>

#include "fmt/format.h"

namespace sidelb {
namespace {

constexpr int kMaxDepth = 64;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// Recursive descent over the text. Every Parse function returns false after the first error, whose
// place is where the reader then stands.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<std::string>> Run() {
    std::vector<std::string> keys;
    SkipSpace();
    const bool is_object = Peek() == '{';
    const bool good = is_object       ? ParseObject(1, &keys)
                      : Peek() == '[' ? ParseArray(1)
                                      : Fail("expected an object or an array");
    if (good) {
      SkipSpace();
      if (at_ != text_.size()) Fail("expected the end after the closing bracket");
    }
    if (error_.empty()) return keys;
    const std::string_view before = text_.substr(0, at_);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    return absl::InvalidArgumentError(
        fmt::format("line {}, column {}: {}", line, at_ - line_begin + 1, error_));
  }

 private:
  // 0 at the end; a 0 byte in the text is no valid character anywhere, so the two need no telling
  // apart.
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool Fail(std::string_view what) {
    error_ = at_ >= text_.size() ? fmt::format("the text ends here, {}", what) : std::string(what);
    return false;
  }

  void SkipSpace() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string::npos) {
      ++at_;
    }
  }

  bool ParseValue(int depth) {
    SkipSpace();
    const char c = Peek();
    if (c == '{') return ParseObject(depth + 1, nullptr);
    if (c == '[') return ParseArray(depth + 1);
    if (c == '"') return ParseString(nullptr);
    if (c == '-' || IsDigit(c)) return ParseNumber();
    for (std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return true;
      }
    }
    return Fail("expected a value");
  }

  bool ParseObject(int depth, std::vector<std::string>* keys) {
    if (depth > kMaxDepth) return Fail("nested too deeply");
    ++at_;
    SkipSpace();
    std::set<std::string> seen;
    if (Peek() == '}') return ++at_, true;
    while (true) {
      SkipSpace();
      const size_t key_at = at_;
      std::string key;
      if (Peek() != '"') return Fail("expected a key in double quotes");
      if (!ParseString(&key)) return false;
      if (!seen.insert(key).second) {
        at_ = key_at;
        return Fail(fmt::format("the key \"{}\" stands twice in one object", key));
      }
      if (keys != nullptr) keys->push_back(key);
      SkipSpace();
      if (Peek() != ':') return Fail("expected ':' after the key");
      ++at_;
      if (!ParseValue(depth)) return false;
      SkipSpace();
      if (Peek() == '}') return ++at_, true;
      if (Peek() != ',') return Fail("expected ',' or '}'");
      ++at_;
    }
  }

  bool ParseArray(int depth) {
    if (depth > kMaxDepth) return Fail("nested too deeply");
    ++at_;
    SkipSpace();
    if (Peek() == ']') return ++at_, true;
    while (true) {
      if (!ParseValue(depth)) return false;
      SkipSpace();
      if (Peek() == ']') return ++at_, true;
      if (Peek() != ',') return Fail("expected ',' or ']'");
      ++at_;
    }
  }

  // `raw`, if given, receives the text between the quotes with its escapes as they stand.
  bool ParseString(std::string* raw) {
    const size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) {
        return Fail("a string holds a line end or another control character");
      }
      if (text_[at_] == '\\') {
        ++at_;
        if (Peek() == 'u') {
          for (int i = 0; i < 4; ++i) {
            ++at_;
            if (!IsHex(Peek())) return Fail("expected four hexadecimal digits after \\u");
          }
        } else if (std::string_view("\"\\/bfnrt").find(Peek()) == std::string_view::npos ||
                   at_ >= text_.size()) {
          return Fail("a string holds an unknown escape");
        }
      }
      ++at_;
    }
    if (at_ >= text_.size()) return Fail("expected '\"'");
    if (raw != nullptr) *raw = text_.substr(begin, at_ - begin);
    ++at_;
    return true;
  }

  bool SkipDigits() {
    if (!IsDigit(Peek())) return Fail("expected a digit");
    while (IsDigit(Peek())) ++at_;
    return true;
  }

  bool ParseNumber() {
    if (Peek() == '-') ++at_;
    if (Peek() == '0') {
      ++at_;
    } else if (!SkipDigits()) {
      return false;
    }
    if (Peek() == '.') {
      ++at_;
      if (!SkipDigits()) return false;
    }
    if (Peek() == 'e' || Peek() == 'E') {
      ++at_;
      if (Peek() == '+' || Peek() == '-') ++at_;
      if (!SkipDigits()) return false;
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> CheckJson(std::string_view text) {
  return Reader(text).Run();
}

}  // namespace sidelb
