#!/usr/bin/env bash
# shellcheck disable=SC2016 # the backticks are those of the page
# original_test: docs/coverage-of-the-original.md holds, and tools/check-original refuses a page that does not.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

check=$DCMEM_SOURCE_DIR/tools/check-original

# page LINE...: a tree with two categories and those lines behind the second's heading.
page() {
    rm -rf tree
    mkdir -p tree/docs tree/tests/buffer tree/tests/tools
    cat >tree/tests/buffer/view_test.c <<'END'
TEST(view__is_one)
LONG_TEST(view__is_another)
SWEEP_TEST(sweep__of_views)
    X(MAP, maps_nest, __VA_ARGS__)
END
    echo 'test_it_works() {' >tree/tests/tools/it_test.sh
    echo 'mutant view-gone: there is none' >tree/tests/mutants.txt
    cat >tree/docs/coverage-of-the-original.md <<'END'
| | category | methods |
|---|---|---|
| 1 | Views | 1,800 |
| 2 | Tools | 37 |

## 1. Views

| `tests/buffer/view_test.c` | `view__is_one`, `view__is_another`, `sweep__of_views`, `maps_nest` |

## 2. Tools

END
    printf '%s\n' "$@" >>tree/docs/coverage-of-the-original.md
}

tool_row='| `tests/tools/it_test.sh` | `it_works`, `mutant view-gone` |'

# refuses WORDS: the tree, with those words.
refuses() {
    expect_failure "$check" tree
    expect_said "$1"
}

test_the_page_of_this_repository_holds() {
    "$check"
}

test_a_page_that_holds_is_accepted() {
    page "$tool_row"
    "$check" tree >said
    expect_said "2 categories, 5 tests and 1 mutants named, 0 wrong"
}

test_a_test_that_is_not_there_is_refused() {
    page "$tool_row" '| why | `tests/buffer/view_test.c` | `view__is` |'
    refuses 'tests/buffer/view_test.c has no test "view__is"'
    page "$tool_row" '| why | `tests/buffer/view_test.c` | `it_works` |'
    refuses 'tests/buffer/view_test.c has no test "it_works"'
}

test_a_file_that_is_not_there_is_refused() {
    page "$tool_row" '| `tests/buffer/gone_test.c` | `view__is_one` |'
    refuses "no file tests/buffer/gone_test.c"
}

test_a_mutant_that_is_not_there_is_refused() {
    page "$tool_row" '| `tests/buffer/view_test.c` | `mutant view` |'
    refuses 'has no test "mutant view"'
}

test_a_category_without_a_test_is_refused() {
    page "words alone"
    refuses "category 2 has no test"
    page "words alone" "" "## Beside the categories" "" "$tool_row"
    refuses "category 2 has no test"
    page '| `tests/tools/it_test.sh` | `mutant view-gone` |'
    refuses "category 2 has no test"
}

test_methods_that_do_not_add_up_are_refused() {
    page "$tool_row"
    sed -i 's/| 37 |/| 38 |/' tree/docs/coverage-of-the-original.md
    refuses "add up to 1838"
}

test_a_category_without_a_section_is_refused() {
    page "$tool_row"
    sed -i 's/^## 2\. Tools/## Tools/' tree/docs/coverage-of-the-original.md
    refuses "2 categories, 1 sections"
    page "$tool_row"
    sed -i 's/^## 2\. Tools/## 2. Other/' tree/docs/coverage-of-the-original.md
    refuses 'category 2 is called "tools" in the overview'
}

run_tests "$@"
