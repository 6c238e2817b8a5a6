import { expect, test } from "vitest";
import { ApiError } from "@/data/http";
import { keptFrom } from "@/data/transcript";

const gone = (details: Record<string, unknown>) =>
  new ApiError(409, { code: "range_unsatisfiable", message: "it is no longer kept", details });

test("following goes on where output begins", () => {
  expect(keptFrom(gone({ first_cursor: 700 }), 5)).toBe(700);
});

test("an error that says nothing of the kind ends it", () => {
  expect(keptFrom(gone({}), 5)).toBeNull();
  expect(keptFrom(gone({ first_cursor: 5 }), 5)).toBeNull();
  expect(keptFrom(new ApiError(409, { code: "conflict", message: "" }), 5)).toBeNull();
  expect(keptFrom(new Error("cut off"), 5)).toBeNull();
});
