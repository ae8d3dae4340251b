#include "runtime/text/text_index.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quern {
namespace {

TEST(TextIndex, FindsWhatWasInsertedWhileItGrows) {
  std::vector<std::string> texts;
  for (int i = 0; i < 10000; ++i) texts.push_back("text " + std::to_string(i));
  TextIndex index;
  for (int i = 0; i < 10000; ++i) {
    EXPECT_EQ(index.Find(texts[i]), TextIndex::kNone);
    EXPECT_EQ(index.Insert(texts[i], i), TextIndex::kNone);
  }
  for (int i = 0; i < 10000; ++i) EXPECT_EQ(index.Find(texts[i]), i);
  EXPECT_EQ(index.Find("text"), TextIndex::kNone);
}

TEST(TextIndex, TheFirstOfEqualTextsStays) {
  TextIndex index(2);
  EXPECT_EQ(index.Insert("a", 4), TextIndex::kNone);
  EXPECT_EQ(index.Insert("a", 7), 4);
  EXPECT_EQ(index.Find("a"), 4);
}

}  // namespace
}  // namespace quern
