import { useMutation, useQueryClient } from "@tanstack/react-query";

/** A change through the API. Afterwards lists, named by the first part of their keys, are read again. */
export function useChange<Given, Result>(
  lists: readonly string[],
  change: (given: Given) => Promise<Result>,
  onDone?: () => void,
) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => {
      for (const name of lists) void client.invalidateQueries({ queryKey: [name] });
      onDone?.();
    },
  });
}
