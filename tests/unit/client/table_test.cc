#include "client/cli/table.h"

#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

TEST(TableTest, AlignsColumnsAndLeavesNoSpaceAtTheEnd) {
  Table table({"NAME", "STATE"});
  table.AddRow({{"a"}, {"serving"}});
  table.AddRow({{"a-long-name"}, {"up"}});

  EXPECT_EQ(table.Render(Colour::kNever),
            "NAME         STATE\n"
            "a            serving\n"
            "a-long-name  up\n");
}

TEST(TableTest, ShowsEmptyCellsAndLeavesNoSpaceInside) {
  Table table({"ZONE", "X"});
  table.AddRow({{""}, {"1"}});
  table.AddRow({{"rack 7"}, {"2"}});

  EXPECT_EQ(table.Render(Colour::kNever),
            "ZONE    X\n"
            "<none>  1\n"
            "rack_7  2\n");
}

TEST(TableTest, CountsCharactersAndNotBytes) {
  Table table({"ZONE", "X"});
  table.AddRow({{"Zürich"}, {"1"}});

  EXPECT_EQ(table.Render(Colour::kNever),
            "ZONE    X\n"
            "Zürich  1\n");
}

TEST(TableTest, ColoursWithoutMovingColumns) {
  Table table({"STATE", "X"});
  table.AddRow({{"serving", Tone::kGood}, {"1"}});

  EXPECT_EQ(table.Render(Colour::kAnsi),
            "\x1b[2mSTATE\x1b[0m    \x1b[2mX\x1b[0m\n"
            "\x1b[32mserving\x1b[0m  1\n");
}

TEST(PrintableTest, DefusesWhatCouldDriveATerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc\x7f"), "a\\x1b[2Jb\\x0ac\\x7f");
  EXPECT_EQ(Printable("\xff"
                      "\xc2\x9b"
                      "\xe2\x82"),
            "\\xff\\xc2\\x9b\\xe2\\x82");
  EXPECT_EQ(Printable("Zürich €"), "Zürich €");
}

TEST(FieldListTest, AlignsValues) {
  FieldList fields;
  fields.Add("Pool", "web");
  fields.Add("Sessions", "");

  EXPECT_EQ(fields.Render(Colour::kNever),
            "Pool:      web\n"
            "Sessions:  <none>\n");
}

}  // namespace
}  // namespace sidelb::client
